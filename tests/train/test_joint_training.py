"""Joint training: dropped modalities, losses, micro-batches, and that it learns."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from components.common.errors import InputError
from components.data.assets import AssetTensors
from components.fusion.registry import FUSIONS
from components.tasks.settings import HeadTaskSettings
from components.train.data import TrainingData
from components.train.joint_training import StepSamples, kept_modalities, validation_metric
from components.training.loop import train
from components.training.run import TrainingRun
from tests.support.tiny_model import EVERY_TASK, PRESENT, TASKS
from tests.train.small_data import (
    WIDE,
    joint_training,
    losses_of,
    make_data,
    make_data_of_every_task,
    train_settings,
)

FROZEN = pytest.mark.parametrize("frozen", [PRESENT, ()], ids=["frozen", "finetune"])
WITHOUT_IMAGE = torch.tensor([False, True, True])


@pytest.mark.parametrize("dropout", [0.0, 0.3, 0.9, 0.999])
def test_dropping_keeps_one_modality_and_adds_none(dropout):
    torch.manual_seed(0)
    presence = torch.rand(2000, 3) < 0.5
    presence[:, 0] |= ~presence.any(1)
    kept = kept_modalities(presence, dropout)
    assert (kept <= presence).all()
    assert kept.any(1).all()
    if dropout == 0:
        assert kept.equal(presence)


def test_dropout_is_a_probability():
    torch.manual_seed(0)
    kept = kept_modalities(torch.ones(20_000, 3, dtype=torch.bool), 0.3)
    # 0.3 of each, less the chance 0.3³ that all three would go and one stays instead
    assert float((~kept).float().mean()) == pytest.approx(0.3 - 0.3**3 / 3, abs=0.01)
    assert kept.float().mean(0).tolist() == pytest.approx([0.709] * 3, abs=0.02)


def hide(data: TrainingData, kept: torch.Tensor) -> torch.Tensor:
    """Take modalities from all training samples; return the index of all of them."""
    samples = data.samples["train"]
    data.samples["train"] = samples.keep(kept.expand(len(samples), -1))
    return torch.arange(len(samples))


def test_undecidable_task_has_no_loss():
    data = make_data(train_settings(modality_dropout=0.0), missing=0.0)
    found = losses_of(data, hide(data, WITHOUT_IMAGE))
    assert "shape" not in found  # an image decides it, and there is none
    assert found["answer"].item() > 0 and found["question_type"].item() > 0
    sum(found.values()).backward()
    assert all(p.grad.isfinite().all() for p in data.model.parameters() if p.grad is not None)


def test_undecidable_task_of_another_kind_has_no_loss():
    data = make_data_of_every_task(60)
    found = losses_of(data, hide(data, WITHOUT_IMAGE))
    assert "tags" not in found  # an image decides them, and there is none
    assert all(found[task].item() > 0 for task in ("answer", "size", "reply"))


def test_loss_is_the_mean_over_decidable_samples():
    data = make_data(train_settings(modality_dropout=0.0))
    samples = data.samples["train"]
    found = losses_of(data, torch.arange(len(samples)))
    logits = data.logits(samples)
    for name in TASKS:
        decidable = data.model.config.answerable(name, samples.presence)
        own = logits[name].log_softmax(1)[torch.arange(len(decidable)), samples.targets[name]]
        torch.testing.assert_close(found[name], -own[decidable].mean())


def test_validation_is_per_subset():
    data = make_data()
    found = joint_training(data).validate()
    metric = data.model.tasks["answer"].VALIDATION
    subsets = ("all", "image-text", "image-audio", "text-audio")
    assert list(found) == [validation_metric(metric, subset) for subset in subsets]
    samples = data.samples["validation"]
    logits = data.logits(samples)
    right = logits["answer"].argmax(1) == samples.targets["answer"]
    assert found[validation_metric(metric, "all")]["answer"] == float(right.float().mean())


def test_validation_leaves_out_what_cannot_be_decided():
    data = make_data()
    found = joint_training(data).validate()
    metric = data.model.tasks["shape"].VALIDATION
    assert "shape" not in found[validation_metric(metric, "text-audio")]  # an image decides it
    samples = data.samples["validation"]
    decided = data.model.config.answerable("shape", samples.presence)
    right = data.logits(samples)["shape"].argmax(1) == samples.targets["shape"]
    expected = right[decided].float().mean()
    assert not decided.all() and found[validation_metric(metric, "all")]["shape"] == expected


def test_validation_of_nothing_is_empty():
    data = make_data()
    data.samples["validation"] = data.samples["validation"][torch.arange(0)]
    assert joint_training(data).validate() == {}


@FROZEN
def test_two_modalities_are_learnt_without_the_third(frozen):
    data = make_data(train_settings(frozen), modalities=("image", "text"))
    found = losses_of(data, torch.arange(len(data.samples["train"])))
    sum(found.values()).backward()
    trained = {name for name, p in data.model.named_parameters() if p.grad is not None}
    assert trained and not [name for name in trained if "audio" in name]
    validation = joint_training(data).validate()
    assert {metric.name for metric in validation} == {
        *("accuracy all", "accuracy image", "accuracy text")
    }


@pytest.mark.slow  # seconds each
@pytest.mark.parametrize(
    ("fusion", "frozen"),
    [*((name, PRESENT) for name in FUSIONS), ("bilinear", ())],
)
def test_30_samples_are_learnt_by_heart(tmp_path, fusion, frozen):
    settings = train_settings(
        frozen,
        modality_dropout=0.0,
        batch_size=10,
        epochs=40,
        learning_rate=0.007,
        encoder_learning_rates=dict.fromkeys(PRESENT, 0.007),
        weight_decay=0.0,
    )
    data = make_data(settings, count=90, missing=0.0, fusion=fusion, fresh=True, **WIDE)
    data = replace(data, assets=random_features(data), tasks=equal_weights(TASKS))
    data.samples["validation"] = data.samples["validation"][torch.arange(0)]
    before = {n: v.clone() for n, v in data.model.encoders.state_dict().items()}
    train(joint_training(data, tmp_path / "c"))
    samples = data.samples["train"]
    assert len(samples) == 30
    with torch.no_grad():
        logits = data.logits(samples)
    for task in ["shape"] if fusion == "late" else TASKS:  # the others take several modalities
        assert (logits[task].argmax(1) == samples.targets[task]).float().mean() > 0.95, task
    after = data.model.encoders.state_dict()
    assert all(after[name].equal(value) for name, value in before.items()) == bool(frozen)


@pytest.mark.parametrize("split", ["validation", "train"])
def test_model_that_learns_by_heart_is_warned_of(tmp_path, caplog, split):
    """Answers are arbitrary, so that other samples than those of training cannot be known."""
    options = {"batch_size": 10, "epochs": 30, "learning_rate": 0.007, "weight_decay": 0.0}
    settings = train_settings(modality_dropout=0.0, **options)
    data = make_data(settings, count=90, missing=0.0, fresh=True, **WIDE)
    data = replace(data, assets=random_features(data), tasks=equal_weights(TASKS))
    data.samples["validation"] = data.samples[split]
    history = train(joint_training(data, tmp_path / "c")).history
    warnings = [line.message for line in caplog.records if line.levelname == "WARNING"]
    seen = history[history["series"] == "training accuracy all"]
    if split == "train":
        assert not warnings and seen.empty
    else:
        (sentence,) = warnings
        assert sentence.startswith("train: training and validation part: accuracy all of")
        assert seen.set_index("task")["value"]["answer"] > 0.9 and set(seen["epoch"]) == {29}


def equal_weights(tasks: Mapping[str, HeadTaskSettings]) -> dict[str, HeadTaskSettings]:
    """Return tasks whose losses count alike."""
    return {name: task.model_copy(update={"weight": 1.0}) for name, task in tasks.items()}


def random_features(data: TrainingData) -> dict[str, AssetTensors]:
    """Return features that are easily told apart, where the encoder is frozen."""
    g, assets = torch.Generator().manual_seed(0), dict(data.assets)
    for m in filter(data.settings.is_frozen, PRESENT):
        tensors = dict(data.assets[m].tensors)
        for name in ("tokens", "pooled"):
            tensors[name] = torch.randn(tensors[name].shape, generator=g)
        assets[m] = AssetTensors(data.assets[m].ids, tensors)
    return assets


@pytest.mark.slow
def test_tasks_of_every_kind_are_learnt_by_heart(tmp_path):
    data = make_data_of_every_task(90, epochs=60, learning_rate=0.01, weight_decay=0.0)
    with torch.no_grad():
        validation = joint_training(data).validate()
    assert {metric.name for metric in validation} == {
        f"{name} {subset}"
        for name in ("accuracy", "f1", "absolute_error", "soft_score", "token_accuracy")
        for subset in ("all", "image-text", "image-audio", "text-audio")
    } - {"f1 text-audio"}  # an image decides the tags
    data.samples["validation"] = data.samples["validation"][torch.arange(0)]
    train(joint_training(data, tmp_path / "c"))
    samples = data.samples["train"]
    with torch.no_grad():
        logits = data.logits(samples)
    reached = {
        name: task.validate(logits[name], samples.targets[name])
        for name, task in data.model.tasks.items()
    }
    assert reached["answer"] > 0.95 and reached["tags"] > 0.95 and reached["reply"] > 0.95
    assert reached["size"] < 0.2  # standard deviations
    assert reached["caption"] > 0.85  # with two right texts, one cannot know which of them begins


def test_each_encoder_has_its_learning_rate(tmp_path):
    rates = dict(zip(PRESENT, (0.5, 0.001, 0.0001), strict=True))
    settings = train_settings(
        ("image",),
        batch_size=1000,
        epochs=1,
        learning_rate=0.01,
        weight_decay=0.0,
        encoder_learning_rates=rates,
    )
    data = make_data(settings, count=90, missing=0.0)
    before = {name: p.detach().clone() for name, p in data.model.named_parameters()}
    train(joint_training(data, tmp_path / "c"))
    moved = dict.fromkeys([*PRESENT, "rest"], 0.0)
    for name, parameter in data.model.named_parameters():
        part = name.split(".")[1] if name.startswith("encoders.") else "rest"
        moved[part] = max(moved[part], float((parameter.detach() - before[name]).abs().max()))
    # AdamW's first step moves by the learning rate, which begins at a thousandth of the warm-up.
    assert moved["image"] == 0
    first = moved["rest"] / 0.01
    assert moved["text"] == pytest.approx(0.001 * first, rel=0.05)
    assert moved["audio"] == pytest.approx(0.0001 * first, rel=0.05)


def test_test_split_is_never_read():
    data = make_data(count=90)
    del data.samples["test"]
    losses_of(data, torch.arange(10))
    assert joint_training(data).validate()


@pytest.mark.parametrize("count", [2, 3, 5])
def test_micro_batches_equal_the_whole_batch(count):
    """For every kind of task, modalities dropped alike, targets missing at random."""
    data = make_data_of_every_task(60, modality_dropout=0.3)
    run, model, results = joint_training(data), data.model.eval(), []
    for parts in (1, count):
        torch.manual_seed(0)
        model.zero_grad()
        micro_batches = run.micro_batches(StepSamples(torch.arange(20), tuple(EVERY_TASK)), parts)
        found = [part.weighted(run.losses(part.batch)) for part in micro_batches]
        mean = {task: sum(part[task] for part in found) / parts for task in EVERY_TASK}
        TrainingRun.total_loss(run, mean).backward()
        gradient = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        results.append((mean, gradient))
    (one, gradient), (other, other_gradient) = results
    assert all(loss > 0 for loss in one.values())
    for task in EVERY_TASK:
        torch.testing.assert_close(other[task], one[task])
    assert gradient.keys() == other_gradient.keys()
    for name, value in gradient.items():
        torch.testing.assert_close(other_gradient[name], value, msg=name, atol=1e-5, rtol=1e-4)


def test_too_few_samples_for_micro_batches_are_refused():
    run = joint_training(make_data())
    message = "a step has 3 samples, too few for 4 micro-batches. Lower train.gradient_accumulation"
    with pytest.raises(InputError, match=message):
        run.micro_batches(StepSamples(torch.arange(3), tuple(TASKS)), 4)


@pytest.mark.parametrize("fusion", FUSIONS)
@FROZEN
def test_bfloat16_is_nearly_float32(frozen, fusion):
    data = make_data(train_settings(frozen, modality_dropout=0.0), fusion=fusion)
    plain = losses_of(data, torch.arange(20))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = losses_of(data, torch.arange(20))
    for task, loss in rounded.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, plain[task], atol=0.1, rtol=0.1)
    sum(rounded.values()).backward()
    trained = [p for p in data.model.parameters() if p.grad is not None]
    assert trained and all(
        p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in trained
    )
