"""Joint training: which modalities are dropped, what a batch holds, and that it learns."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from components.modalities.registry import MODALITIES

from components.common.errors import InputError
from components.data.batch import make_samples
from components.fusion import FUSIONS
from components.train.data import Course, batches, learnt_from, predict
from components.train.objective import drop_modalities, losses, measure, share
from components.training.checkpoint import Checkpoint
from components.training.loop import fit
from components.training.run import Recipe, add
from components.training.settings import OptimiserSettings
from tests.model.worlds import (
    EVERY_TASK,
    TASKS,
    label_every_task,
    make_assets,
    make_model,
    make_table,
)

ASSETS = 20
FROZEN = pytest.mark.parametrize("frozen", [MODALITIES, ()], ids=["frozen", "finetune"])
WIDE = {
    "model.size": {"width": 32, "layers": 1, "heads": 4},
    "model.rank": 32,
    "align.width": 32,
    **{f"features.{m}.width": 16 for m in MODALITIES},
}


def make_course(
    frozen=MODALITIES, dropout=0.3, batch=4, count=60, missing=0.3, **changes
) -> Course:
    model = make_model(**changes)
    for m in MODALITIES:
        model.encoders[m].requires_grad_(m not in frozen)
    cached, inputs = make_assets(ASSETS, model), make_assets(ASSETS)
    assets = {m: (cached if m in frozen else inputs)[m] for m in MODALITIES}
    table = make_table(count, ASSETS, missing=missing)
    samples = {
        split: make_samples(table[table["split"] == split], assets, TASKS, model.kinds)
        for split in ("train", "validation", "test")
    }
    return Course(model, assets, frozen, samples, TASKS, dropout, batch)


def losses_of(course: Course, index: torch.Tensor) -> dict[str, torch.Tensor]:
    """The losses of some training samples in one step."""
    (whole,) = share(course, index, 1)
    return whole.weighted(losses(course, whole.batch))


@pytest.mark.parametrize("dropout", [0.0, 0.3, 0.9, 0.999])
def test_dropping_leaves_one_modality_and_adds_none(dropout):
    torch.manual_seed(0)
    presence = torch.rand(2000, 3) < 0.5
    presence[:, 0] |= ~presence.any(1)
    kept = drop_modalities(presence, dropout)
    assert (kept <= presence).all()
    assert kept.any(1).all()
    if dropout == 0:
        assert kept.equal(presence)


def test_as_many_are_dropped_as_asked():
    torch.manual_seed(0)
    kept = drop_modalities(torch.ones(20_000, 3, dtype=torch.bool), 0.3)
    # 0.3 of each, less the chance 0.3³ that all three would go and one stays instead
    assert float((~kept).float().mean()) == pytest.approx(0.3 - 0.3**3 / 3, abs=0.01)
    assert kept.float().mean(0).tolist() == pytest.approx([0.709] * 3, abs=0.02)


@pytest.mark.parametrize("batch", [2, 3, 8, 1000])
def test_batches_hold_every_sample_once_and_an_image_s_samples_together(batch):
    course = make_course(batch=batch)
    images = course.samples["train"].rows["image"]
    torch.manual_seed(0)
    parts = batches(course)
    assert sorted(torch.cat(parts).tolist()) == list(range(len(images)))
    place = {int(n): number for number, part in enumerate(parts) for n in part}
    for image in images[images >= 0].unique():
        assert len({place[int(n)] for n in (images == image).nonzero()}) == 1
    groups = [len(images[part][images[part] >= 0].unique()) for part in parts]
    alone = [int((images[part] < 0).sum()) for part in parts]
    sizes = [a + b for a, b in zip(groups, alone, strict=True)]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 1.5 * batch


def test_batches_come_in_another_order_each_epoch():
    course = make_course()
    torch.manual_seed(0)
    assert torch.cat(batches(course)).tolist() != torch.cat(batches(course)).tolist()


def test_frozen_training_reads_what_the_encoders_would_give():
    """The cache and the encoders agree, so `frozen` may read the cache."""
    cached, live = make_course(), make_course(frozen=())
    live.model.eval()
    part = cached.samples["train"]
    one, other = predict(cached, part), predict(live, part)
    for task in one:
        torch.testing.assert_close(one[task], other[task], atol=1e-5, rtol=1e-5)


def test_a_task_is_not_asked_of_a_sample_that_cannot_know_it():
    course = make_course(dropout=0.0, missing=0.0)
    without = torch.tensor([False, True, True]).expand(len(course.samples["train"]), -1)
    course.samples["train"] = course.samples["train"].keep(without)
    found = losses_of(course, torch.arange(len(without)))
    assert "shape" not in found  # an image decides it, and there is none
    assert found["answer"].item() > 0 and found["question_type"].item() > 0
    sum(found.values()).backward()
    assert all(p.grad.isfinite().all() for p in course.model.parameters() if p.grad is not None)


def test_the_loss_is_the_mean_over_those_that_know():
    course = make_course(dropout=0.0)
    samples = course.samples["train"]
    found = losses_of(course, torch.arange(len(samples)))
    logits = predict(course, samples)
    for name in TASKS:
        asked = course.model.config.answerable(name, samples.presence)
        own = logits[name].log_softmax(1)[torch.arange(len(asked)), samples.targets[name]]
        torch.testing.assert_close(found[name], -own[asked].mean())


def test_it_measures_nothing_where_there_is_nothing():
    course = make_course()
    course.samples["validation"] = course.samples["validation"][torch.arange(0)]
    assert measure(course) == {}


def test_what_training_samples_have_is_what_can_be_learnt():
    table = make_table(60, ASSETS)
    assert learnt_from(table) == list(MODALITIES)
    table.loc[table["split"] == "train", "text_id"] = None
    assert learnt_from(table) == ["image", "audio"]
    with pytest.raises(InputError, match="0 samples of the training split"):
        learnt_from(table[table["split"] != "train"])


@FROZEN
def test_without_sound_the_model_learns_from_what_is_there(frozen):
    course = make_course(frozen, learnt=("image", "text"))
    assets = {m: course.assets[m] for m in ("image", "text")}
    table = make_table(60, ASSETS)
    table = table[table[["image_id", "text_id"]].notna().any(axis=1)]
    samples = {
        split: make_samples(table[table["split"] == split], assets, TASKS, course.model.kinds)
        for split in ("train", "validation")
    }
    course = replace(course, assets=assets, samples=samples)
    found = losses_of(course, torch.arange(len(samples["train"])))
    sum(found.values()).backward()
    taught = {name for name, p in course.model.named_parameters() if p.grad is not None}
    assert taught and not [name for name in taught if "audio" in name]
    assert set(measure(course)) == {"accuracy (all)", "accuracy (image+text)"}


def teach(course: Course, options: OptimiserSettings, folder, **more) -> None:
    recipe = Recipe(
        module=course.model,
        batches=lambda: batches(course),
        share=partial(share, course),
        losses=partial(losses, course),
        measure=dict,
        options=options,
        seed=0,
        checkpoint=Checkpoint(folder / "c", "a"),
        label="train",
        **more,
    )
    fit(recipe)


@pytest.mark.parametrize("fusion", FUSIONS)
@FROZEN
def test_a_tiny_model_learns_30_samples_by_heart(tmp_path, frozen, fusion):
    course = make_course(
        frozen, dropout=0.0, batch=10, count=90, missing=0.0, fusion=fusion, fresh=True, **WIDE
    )
    before = {n: v.clone() for n, v in course.model.encoders.state_dict().items()}
    options = OptimiserSettings(epochs=60, batch=10, learning_rate=0.007, weight_decay=0.0)
    teach(course, options, tmp_path)
    samples = course.samples["train"]
    assert len(samples) == 30
    with torch.no_grad():
        logits = predict(course, samples)
    for task in ["shape"] if fusion == "late" else TASKS:  # the others take several modalities
        assert (logits[task].argmax(1) == samples.targets[task]).float().mean() > 0.95, task
    after = course.model.encoders.state_dict()
    assert all(after[name].equal(value) for name, value in before.items()) == bool(frozen)


def test_each_encoder_is_frozen_or_learns_at_its_own_rate(tmp_path):
    course = make_course(frozen=("image",), count=90, missing=0.0, batch=1000)
    before = {name: p.detach().clone() for name, p in course.model.named_parameters()}
    options = OptimiserSettings(epochs=1, batch=1000, learning_rate=0.01, weight_decay=0.0)
    rates = {
        course.model.encoders[m]: rate
        for m, rate in zip(MODALITIES, (0.5, 0.001, 0.0001), strict=True)
    }
    teach(course, options, tmp_path, rates=rates)
    moved = {"image": 0.0, "text": 0.0, "audio": 0.0, "rest": 0.0}
    for name, parameter in course.model.named_parameters():
        part = name.split(".")[1] if name.startswith("encoders.") else "rest"
        moved[part] = max(moved[part], float((parameter.detach() - before[name]).abs().max()))
    # AdamW's first step moves by the learning rate, which begins at a thousandth of the warm-up.
    assert moved["image"] == 0
    first = moved["rest"] / 0.01
    assert moved["text"] == pytest.approx(0.001 * first, rel=0.05)
    assert moved["audio"] == pytest.approx(0.0001 * first, rel=0.05)


def test_training_never_reads_the_test_split():
    course = make_course(count=90)
    torch.manual_seed(0)
    expected = losses_of(course, torch.arange(10)), measure(course)
    del course.samples["test"]
    torch.manual_seed(0)
    found = losses_of(course, torch.arange(10)), measure(course)
    assert all(found[0][task].equal(expected[0][task]) for task in TASKS)
    assert found[1] == expected[1]
    assert set(MODALITIES) == set(course.assets)


def every_course(count: int) -> Course:
    """A tiny model, and samples with a task of every kind."""
    model = make_model(fresh=True, every=True, **WIDE)
    model.encoders.requires_grad_(False)
    assets = make_assets(ASSETS, model)
    table = label_every_task(make_table(count, ASSETS, missing=0.0), ASSETS)
    samples = {
        split: make_samples(table[table["split"] == split], assets, EVERY_TASK, model.kinds)
        for split in ("train", "validation", "test")
    }
    return Course(model, assets, set(MODALITIES), samples, EVERY_TASK, 0.0, 10)


def test_tasks_of_every_kind_are_learnt_by_heart_together(tmp_path):
    course = every_course(90)
    fit(
        Recipe(
            module=course.model,
            batches=lambda: batches(course),
            share=partial(share, course),
            losses=partial(losses, course),
            measure=dict,
            options=OptimiserSettings(epochs=60, batch=10, learning_rate=0.01, weight_decay=0.0),
            seed=0,
            checkpoint=Checkpoint(tmp_path / "c", "a"),
            label="train",
        )
    )
    samples = course.samples["train"]
    with torch.no_grad():
        logits, shown = predict(course, samples), measure(course)
    reached = {
        task: kind.quality(logits[task], samples.targets[task])
        for task, kind in course.model.kinds.items()
    }
    assert reached["answer"] > 0.95 and reached["tags"] > 0.95 and reached["reply"] > 0.95
    assert reached["size"] < 0.2  # standard deviations
    assert reached["caption"] > 0.85  # with two right texts, one cannot know which of them begins
    assert set(shown) == {
        f"{name} ({kept})"
        for name in ("accuracy", "f1", "absolute_error", "soft_score", "token_accuracy")
        for kept in ("all", "image+text", "image+audio")
    }


def test_no_kind_of_task_is_asked_of_a_sample_that_cannot_know_it():
    course = every_course(60)
    without = torch.tensor([False, True, True]).expand(len(course.samples["train"]), -1)
    course.samples["train"] = course.samples["train"].keep(without)
    found = losses_of(course, torch.arange(len(without)))
    assert "tags" not in found  # an image decides them, and there is none
    assert all(found[task].item() > 0 for task in ("answer", "size", "reply"))


@pytest.mark.parametrize("count", [2, 3, 5])
def test_parts_of_a_step_have_the_losses_and_the_gradient_of_the_whole(count):
    """Of every kind of task, targets missing at random; for the same modalities are dropped."""
    course = replace(every_course(60), dropout=0.3)
    model, results = course.model.eval(), []
    for parts in (1, count):
        torch.manual_seed(0)
        model.zero_grad()
        shares = share(course, torch.arange(20), parts)
        found = [part.weighted(losses(course, part.batch)) for part in shares]
        mean = {task: sum(part[task] for part in found) / parts for task in EVERY_TASK}
        add(mean).backward()
        gradient = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        results.append((mean, gradient))
    (one, slope), (other, other_slope) = results
    assert all(loss > 0 for loss in one.values())
    for task in EVERY_TASK:
        torch.testing.assert_close(other[task], one[task])
    assert slope.keys() == other_slope.keys()
    for name, value in slope.items():
        torch.testing.assert_close(other_slope[name], value, msg=name, atol=1e-5, rtol=1e-4)


def test_a_step_with_fewer_samples_than_parts_says_what_to_change():
    course = make_course()
    with pytest.raises(InputError, match="a step has 3 samples, too few for 4 parts"):
        share(course, torch.arange(3), 4)


@pytest.mark.parametrize("fusion", FUSIONS)
@FROZEN
def test_in_bfloat16_losses_and_gradients_are_nearly_the_same(frozen, fusion):
    course = make_course(frozen, dropout=0.0, fusion=fusion)
    plain = losses_of(course, torch.arange(20))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = losses_of(course, torch.arange(20))
    for task, loss in rounded.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, plain[task], atol=0.1, rtol=0.1)
    add(rounded).backward()
    learnt = [p for p in course.model.parameters() if p.grad is not None]
    assert learnt and all(p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in learnt)
