"""Training of encoders: on tasks that their modality decides, or by self-supervision."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from components.common.errors import InputError
from components.common.hashing import content_id
from components.common.metrics import Metric
from components.data.assets import AssetTensors
from components.data.shards import Asset, MediaWriter
from components.data.tables import read_table, write_table
from components.features.encoder_training import (
    EncoderData,
    EncoderTraining,
    EncoderWithHeads,
    processes_for,
    self_supervised,
    task_objective,
    task_objectives,
    train_encoder,
)
from components.layers.features import Encoder
from components.layers.losses import nt_xent
from components.modalities.audio import transcripts
from components.modalities.encoding import Batch, Change, Mixup, Pretext, pretext_of
from components.modalities.registry import (
    MODALITIES,
    encoders_of,
    transcripts_of,
)
from components.modalities.settings import EncoderSettings
from components.tasks.classification.head import Classification
from components.tasks.multilabel.settings import MultilabelSettings
from components.tasks.regression.settings import RegressionSettings
from components.tasks.vqa.settings import VqaSettings
from components.train.settings import TrainStageSettings
from components.training.checkpoint import Checkpoint
from components.training.settings import EarlyStoppingSettings
from components.training.tables import HISTORY
from tests.support.params import small_settings
from tests.support.tiny_model import (
    CLASSES,
    EVERY_TASK,
    EVERY_VOCABULARY,
    TASKS,
    VOCABULARY,
    ids_of,
    label_every_task,
    make_inputs,
    make_table,
)

SETTINGS: Any = small_settings(TrainStageSettings)
COUNT = 24
PARITY = Classification(classes=["even", "odd"])


@dataclass
class Lesson:
    """A tiny encoder, and what it is trained on."""

    encoder: Encoder
    data: EncoderData
    options: EncoderSettings

    def train(self, folder) -> pd.DataFrame:
        """Train the encoder in place; return the history."""
        model = EncoderWithHeads(self.encoder, self.data.objectives)
        return train_encoder(model, self.data, self.options, 0, Checkpoint(folder / "c", ""))

    def run(self) -> EncoderTraining:
        """Return the training run."""
        return EncoderTraining(
            optimizer=self.options,
            seed=0,
            checkpoint=None,
            data=self.data,
            model=EncoderWithHeads(self.encoder, self.data.objectives),
            options=self.options,
        )


def assets_of(m: str) -> AssetTensors:
    return AssetTensors(tuple(ids_of(m, COUNT)), make_inputs(COUNT)[m])


def build(m: str, options: EncoderSettings) -> Encoder:
    torch.manual_seed(0)
    return encoders_of(m).build(SETTINGS.preprocess[m], options, None)


def lesson(m: str, epochs: int = 40, **changes) -> Lesson:
    """Return what teaches a tiny encoder to tell even assets from odd ones."""
    changes = {"batch_size": 8, "learning_rate": 0.02, "dropout": 0.0, **changes}
    options = SETTINGS.features[m].model_copy(
        update={"epochs": epochs, "label_smoothing": 0.0, **changes}
    )
    names = pd.Series(["even", "odd"] * (COUNT // 2))
    data = EncoderData(
        modality=m,
        assets=assets_of(m),
        rows={"train": torch.arange(0, 20), "validation": torch.arange(20, COUNT)},
        objectives={"parity": task_objective(PARITY, PARITY.targets(names), 1.0)},
        pretext=Pretext(),
    )
    return Lesson(build(m, options), data, options)


def own_pretext(m: str) -> Pretext:
    return pretext_of(m, SETTINGS.preprocess[m], SETTINGS.features[m])


@pytest.mark.parametrize("m", MODALITIES)
def test_encoder_learns_training_assets(tmp_path, m):
    history = lesson(m, epochs=20).train(tmp_path)
    losses = history[history["series"] == "loss"]["value"].to_numpy()
    assert losses[-1] < 0.2 * losses[0]
    measured = history[history["series"] == "accuracy"]
    assert len(measured) == 20 and measured["value"].between(0, 1).all()


def test_validation_assets_are_not_learnt_from(tmp_path):
    weights = []
    for broken in (False, True):
        course = lesson("image", epochs=2)
        if broken:
            course.data.assets.tensors["pixels"][20:] = 0
        course.train(tmp_path)
        weights.append(course.encoder.state_dict())
    assert all(value.equal(weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize("m", MODALITIES)
def test_without_training_assets_encoder_is_unchanged(tmp_path, m):
    course = lesson(m)
    course.data = replace(course.data, rows={**course.data.rows, "train": torch.arange(0)})
    before = {name: value.clone() for name, value in course.encoder.state_dict().items()}
    write_table(tmp_path / "history.csv", course.train(tmp_path), HISTORY)
    assert read_table(tmp_path / "history.csv", HISTORY).empty
    after = course.encoder.state_dict()
    assert all(value.equal(after[name]) for name, value in before.items())


def test_without_anything_to_learn_encoder_is_unchanged(tmp_path):
    """As of a modality without the part `training` that decides no task."""
    course = lesson("image")
    course.data = self_supervised(replace(course.data, objectives={}, pretext=Pretext()))
    before = {name: value.clone() for name, value in course.encoder.state_dict().items()}
    assert course.train(tmp_path).empty
    after = course.encoder.state_dict()
    assert all(value.equal(after[name]) for name, value in before.items())


def test_without_validation_assets_there_is_no_accuracy(tmp_path):
    course = lesson("audio", epochs=1)
    course.data = replace(course.data, rows={**course.data.rows, "validation": torch.arange(0)})
    assert set(course.train(tmp_path)["series"]) == {"loss"}


def test_batch_without_labels_has_loss_zero():
    course = lesson("text")
    course.data.objectives["parity"].targets.fill_(-1)
    run = course.run()
    losses = run.losses(torch.arange(8))
    run.total_loss(losses).backward()
    assert losses["parity"].item() == 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in course.encoder.parameters())


@pytest.mark.parametrize("known", [[1, 2, 9], []])
def test_micro_batches_equal_the_whole_batch(known):
    """With few known targets, none of which is in the last part, or with none at all."""
    course = lesson("image")
    targets = course.data.objectives["parity"].targets
    targets[[row for row in range(COUNT) if row not in known]] = -1
    run, gradients = course.run(), []
    run.module.eval()  # batch normalisation sees a part of the batch only
    for count in (1, 3):
        run.module.zero_grad()
        for part in run.micro_batches(torch.arange(15), count):
            (part.weighted(run.losses(part.batch))["parity"] / count).backward()
        gradients.append([p.grad.clone() for p in run.module.parameters() if p.grad is not None])
    one, other = gradients
    torch.testing.assert_close(other, one)
    assert any(gradient.any() for gradient in one) == bool(known)


def test_too_few_assets_for_processes_are_refused():
    message = "a step has 2 assets, too few for 3 processes. Lower features.image.processes in"
    with pytest.raises(InputError, match=message):
        lesson("image").run().micro_batches(torch.arange(2), 3)


def test_assets_that_are_compared_stay_in_one_process():
    """Two processes would find fewer others to tell an asset from."""
    course = lesson("image", epochs=1000, batch_size=32, processes=None)
    assert processes_for(course.run()) == 2
    course.data = self_supervised(replace(course.data, objectives={}, pretext=own_pretext("image")))
    assert processes_for(course.run()) == 1
    course.options = course.options.model_copy(update={"processes": 2})
    with pytest.raises(InputError, match=r"features\.image\.processes: found 2, but this encoder"):
        processes_for(course.run())


def test_encoder_learns_words(tmp_path, monkeypatch):
    monkeypatch.setattr(transcripts, "MANY_TEXTS", 1)
    course, texts = lesson("audio"), [b"even number", b"odd number"]
    writer = MediaWriter(tmp_path / "texts")
    for text in texts:
        writer.add(Asset(content_id(text), text))
    writer.close()
    said = [content_id(texts[place % 2]) for place in range(COUNT)]
    samples = pd.DataFrame(
        {"split": "train", "audio_id": course.data.assets.ids, "text_id": said}, dtype="str"
    )
    words = transcripts_of("audio").transcript_objectives(
        course.options, course.data.assets, samples, tmp_path / "texts"
    )
    course.data = replace(course.data, objectives=words)
    history = course.train(tmp_path)
    losses = history[history["series"] == "loss"]["value"].to_numpy()
    assert losses[-1] < 0.2 * losses[0]
    assert set(history["series"]) == {"loss", "f1"}


def nearest_is_itself(encoder: Encoder, batch: Batch, view: Change) -> float:
    """Return the fraction of assets whose view is nearest to another view of the same asset."""
    torch.manual_seed(1)
    encoder.eval()
    with torch.no_grad():
        one, other = (F.normalize(encoder(**view(batch)).pooled, dim=-1) for _ in range(2))
    return float(((one @ other.T).argmax(1) == torch.arange(len(one))).float().mean())


def test_without_labels_views_of_images_train(tmp_path):
    pretext = own_pretext("image")
    course = lesson("image", epochs=40, width=16, batch_size=20, learning_rate=0.005)
    tensors = course.data.assets.tensors
    pixels = tensors["pixels"]
    plain = {"pixels": pixels[:, :, :1, :1].expand_as(pixels)}  # each image of one colour
    tensors.update(plain)
    course.data = self_supervised(replace(course.data, objectives={}, pretext=pretext))
    before = nearest_is_itself(course.encoder, plain, pretext.view)
    history = course.train(tmp_path)
    assert set(history["task"]) == {"views"}
    losses = history["value"].to_numpy()
    assert losses[-5:].mean() < 0.8 * losses[0]
    assert nearest_is_itself(course.encoder, plain, pretext.view) > before + 0.2


def test_without_labels_views_of_sounds_train(tmp_path):
    course = lesson("audio", epochs=20)
    data = replace(
        course.data,
        objectives={},
        pretext=own_pretext("audio"),
    )
    course.data = self_supervised(data)
    history = course.train(tmp_path)
    assert set(history["task"]) == {"views"}
    losses = history["value"].to_numpy()
    assert losses[-3:].mean() < 0.9 * losses[0]


def test_objectives_and_pretext_losses_leave_out_views():
    data = lesson("image").data
    with_views = replace(data, pretext=own_pretext("image"))
    assert self_supervised(with_views) is with_views
    texts = replace(
        lesson("text").data,
        objectives={},
        pretext=own_pretext("text"),
    )
    assert self_supervised(texts) is texts
    nothing = replace(data, objectives={})
    assert self_supervised(nothing) is nothing


def test_single_asset_has_no_contrastive_loss():
    one = torch.tensor([[1.0, 0.0]])
    assert nt_xent(one, 2 * one, 10.0).item() == 0  # there is no other to tell it from


def test_only_tasks_that_modality_decides_are_learnt():
    table = make_table(30, COUNT, missing=0.0)
    by_image = task_objectives("image", assets_of("image"), table, TASKS, VOCABULARY)
    assert set(by_image) == {"shape"}
    assert by_image["shape"].outputs == 2
    ids = list(assets_of("image").ids)
    for asset, target in zip(ids, by_image["shape"].targets.tolist(), strict=True):
        labels = table.loc[table["image_id"] == asset, "shape"]
        assert target == (-1 if labels.empty else CLASSES["shape"].index(labels.iloc[0]))


def test_generative_task_is_not_learnt():
    """It may have several right texts per asset."""
    table = label_every_task(make_table(30, COUNT, missing=0.0), COUNT)
    found = task_objectives("image", assets_of("image"), table, EVERY_TASK, EVERY_VOCABULARY)
    assert set(found) == {"tags"}
    assert "image" in EVERY_TASK["caption"].sufficient_modalities


def test_most_frequent_label_of_an_asset_is_learnt():
    """None if there is a tie."""
    assets = assets_of("text")
    first, second = assets.ids[:2]
    table = pd.DataFrame({"text_id": [first] * 3 + [second] * 2}, dtype="str").assign(split="train")
    table["question_type"] = [CLASSES["question_type"][n] for n in (1, 0, 1, 0, 1)]
    found = task_objectives("text", assets, table, TASKS, VOCABULARY)
    assert found["question_type"].targets.tolist()[:2] == [1, -1]


def test_soft_labels_of_an_asset_are_learnt():
    """Where an asset has several; otherwise the classes themselves are."""
    assets = assets_of("text")
    first, second = assets.ids[:2]
    table = pd.DataFrame({"text_id": [first] * 3 + [second]}, dtype="str").assign(split="train")
    table["question_type"] = [CLASSES["question_type"][n] for n in (1, 0, 1, 0)]
    found = task_objectives("text", assets, table, TASKS, VOCABULARY, True)["question_type"]
    assert found.targets[:2, :2].tolist() == [pytest.approx([1 / 3, 2 / 3]), [1, 0]]
    assert found.known(found.targets).tolist() == [True, True] + [False] * (len(assets.ids) - 2)
    assert found.outputs == len(CLASSES["question_type"])
    hard = task_objectives("text", assets, table[2:], TASKS, VOCABULARY, True)["question_type"]
    assert hard.targets.tolist()[:2] == [1, 0]


def test_labels_of_every_kind_are_learnt(tmp_path):
    assets = assets_of("image")
    odd = pd.Series([place % 2 for place in range(COUNT)])
    table = pd.DataFrame({"image_id": assets.ids}, dtype="str").assign(
        tags=odd.map({0: (), 1: ("odd", "uneven")}),
        size=odd.astype(float),
        reply=odd.map({0: ("even",) * 10, 1: ("odd",) * 10}),
        split="train",
    )
    table = pd.concat([table, table[:5]])  # several samples may share an image
    options = {"sufficient_modalities": ("image",)}
    tasks = {
        "tags": MultilabelSettings(column="tags", **options),
        "size": RegressionSettings(column="size", **options),
        "reply": VqaSettings(column="reply", answers=2, **options),
    }
    vocabulary = {
        "tags": {"classes": ["odd", "uneven"]},
        "size": {"mean": 0.5, "deviation": 0.5},
        "reply": {"classes": ["even", "odd"]},
    }
    course = lesson("image", epochs=25)
    objectives = task_objectives("image", assets, table, tasks, vocabulary)
    course.data = replace(course.data, objectives=objectives)
    history = course.train(tmp_path)
    losses = history[history["series"] == "loss"].pivot(
        index="epoch", columns="task", values="value"
    )
    assert set(losses) == set(tasks)
    assert (losses.loc[24] < 0.3 * losses.loc[0]).all()
    assert {"loss", "f1", "absolute_error", "soft_score"} <= set(history["series"])


def test_metrics_are_those_of_objectives(tmp_path):
    course = lesson("image", epochs=1)
    asked: list[list[int]] = []

    def validate(logits, targets):
        asked.append(targets.tolist())
        return 0.5

    (objective,) = course.data.objectives.values()
    objective = replace(objective, metric=Metric("half"), validate=validate)
    course.data = replace(course.data, objectives={"parity": objective})
    history = course.train(tmp_path)
    assert history.loc[history["series"] == "half", "value"].tolist() == [0.5]
    # Of the validation assets; after training also of as many training assets.
    assert asked == [[0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 0, 1]]


@pytest.mark.parametrize("can_be_learnt", [True, False])
def test_encoder_that_learns_by_heart_is_warned_of(tmp_path, caplog, can_be_learnt):
    """Bright images are told from dark ones; parities are random to an encoder."""
    count, course = 80, lesson("image", epochs=25)
    pixels = make_inputs(count)["image"]["pixels"]
    if can_be_learnt:
        pixels = pixels // 2 + (torch.arange(count) % 2 * 128).to(torch.uint8)[:, None, None, None]
    targets = PARITY.targets(pd.Series(["even", "odd"] * (count // 2)))
    course.data = replace(
        course.data,
        assets=AssetTensors(tuple(ids_of("image", count)), {"pixels": pixels}),
        rows={"train": torch.arange(0, 40), "validation": torch.arange(40, count)},
        objectives={"parity": task_objective(PARITY, targets, 1.0)},
    )
    history = course.train(tmp_path)
    warnings = [line.message for line in caplog.records if line.levelname == "WARNING"]
    seen = history[history["series"] == "training accuracy"]
    if can_be_learnt:
        assert not warnings and seen.empty
    else:
        (sentence,) = warnings
        assert sentence.startswith("features_image: training and validation part: accuracy of par")
        assert seen["epoch"].tolist() == [24] and seen["value"].item() > 0.9


def step_losses(course: Lesson, batch: torch.Tensor) -> torch.Tensor:
    """Return the loss of the lesson's task in a step."""
    run = EncoderTraining(
        optimizer=course.options,
        seed=0,
        checkpoint=None,
        data=course.data,
        model=EncoderWithHeads(course.encoder, course.data.objectives).eval(),
        options=course.options,
    )
    torch.manual_seed(0)
    return run.losses(batch)["parity"].detach()


def test_blended_labels_weigh_as_their_assets():
    """Of two assets one is shown; the labels of both count, each with its share."""
    course, batch = lesson("image", label_smoothing=0.1), torch.arange(2)
    shown = Mixup(0.5, lambda batch, others, share: batch)
    torch.manual_seed(0)
    torch.nn.Linear(course.encoder.width, 2)  # draws what the head draws
    losses = [step_losses(course, batch)]
    course.data = replace(course.data, pretext=Pretext(mixup=shown))
    blended = step_losses(course, batch)
    other = replace(course.data.objectives["parity"])
    other.targets[:2] = other.targets[:2].flip(0)
    course.data = replace(course.data, objectives={"parity": other}, pretext=Pretext())
    losses.append(step_losses(course, batch))
    low, high = sorted(losses)
    assert low < blended < high


def test_training_ends_early_with_the_best_weights(tmp_path):
    stopping = EarlyStoppingSettings(metric="accuracy/parity", patience=2)
    course = lesson("image", epochs=40, early_stopping=stopping)
    history = course.train(tmp_path)
    accuracies = history[history["series"] == "accuracy"]["value"].to_numpy()
    assert len(accuracies) == accuracies.argmax() + 3 < 40


def test_unknown_metric_of_early_stopping_is_named(tmp_path):
    stopping = EarlyStoppingSettings(metric="acuracy/parity")
    with pytest.raises(InputError, match="features_image: early_stopping.metric: .*'accuracy/par"):
        lesson("image", early_stopping=stopping).train(tmp_path)
