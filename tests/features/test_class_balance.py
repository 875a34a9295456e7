"""Rare classes in the training of encoders: weights of the loss, and batches drawn evenly."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from components.data.assets import AssetTensors
from components.features.encoder_training import (
    EncoderData,
    EncoderTraining,
    EncoderWithHeads,
    split_rows,
    task_objectives,
)
from components.layers.features import encode
from components.modalities.encoding import Pretext
from components.modalities.registry import encoders_of
from components.tasks.classification.metrics import macro_f1
from components.tasks.classification.settings import ClassificationSettings
from components.train.settings import TrainStageSettings
from components.training.checkpoint import Checkpoint
from components.training.loop import train
from tests.support.params import small_settings
from tests.support.tiny_model import ids_of

SETTINGS: Any = small_settings(TrainStageSettings)
INPUTS = SETTINGS.preprocess["image"]
CLASSES, FRACTIONS = ["grey", "green", "blue"], (0.92, 0.05, 0.03)
COUNT = 600  # the first half is for training
WAYS = ("none", "weights", "sampling")


def make_run(way: str, epochs: int = 4) -> EncoderTraining:
    """Return a run over noisy images of three colours, of which two are rare."""
    g = torch.Generator().manual_seed(0)
    codes = torch.multinomial(torch.tensor(FRACTIONS), COUNT, True, generator=g)
    pixels = 128 + 25 * torch.randn(COUNT, 3, INPUTS.size, INPUTS.size, generator=g)
    for channel in (1, 2):
        pixels[codes == channel, channel] += 100
    ids = ids_of("image", COUNT)
    assets = AssetTensors(tuple(ids), {"pixels": pixels.clamp(0, 255).to(torch.uint8)})
    splits = ["train"] * (COUNT // 2) + ["validation"] * (COUNT // 2)
    labels = [CLASSES[code] for code in codes.tolist()]
    table = pd.DataFrame({"image_id": ids, "colour": labels, "split": splits}, dtype="str")
    task = ClassificationSettings(column="colour", sufficient_modalities=("image",), balance=way)
    vocabulary = {"colour": {"classes": CLASSES}}
    objectives = task_objectives("image", assets, table, {"colour": task}, vocabulary)
    changes = {"epochs": epochs, "batch_size": 32, "learning_rate": 0.005, "dropout": 0.0}
    options = SETTINGS.features["image"].model_copy(update=changes)
    torch.manual_seed(0)
    model = EncoderWithHeads(encoders_of("image").build(INPUTS, options, None), objectives)
    rows = split_rows(assets, table, "image")
    return EncoderTraining(
        optimizer=options,
        seed=0,
        checkpoint=Checkpoint(Path("is not written"), ""),
        data=EncoderData("image", assets, rows, objectives, Pretext()),
        model=model,
        options=options,
    )


def validated_f1(run: EncoderTraining) -> float:
    """Return macro F1 in validation after training."""
    train(run)
    rows = run.data.rows["validation"]
    with torch.no_grad():
        pooled = encode(run.model.encoder, run.data.assets.tensors, rows).pooled
        predicted = run.model.heads["colour"](pooled).argmax(1)
    known = run.data.objectives["colour"].targets[rows]
    return macro_f1(*(pd.Series(codes.tolist()) for codes in (known, predicted)))


@pytest.fixture(scope="module")
def f1_by_way() -> dict[str, float]:
    """Training ends when an encoder that is not balanced still knows the most frequent class."""
    return {way: validated_f1(make_run(way)) for way in WAYS}


@pytest.mark.parametrize("way", WAYS[1:])
def test_rare_classes_are_predicted(f1_by_way, way):
    assert f1_by_way["none"] < 0.4
    assert f1_by_way[way] > 0.55


def test_batches_draw_classes_equally_often():
    run, plain = make_run("sampling"), make_run("none")
    torch.manual_seed(0)
    batches = run.batches()
    for batch in batches:
        counts = run.data.objectives["colour"].targets[batch].bincount(minlength=len(CLASSES))
        assert counts.max() - counts.min() <= 2
    assert [len(batch) for batch in batches] == [len(batch) for batch in plain.batches()]
    drawn = torch.cat(batches)
    assert set(drawn.tolist()) <= set(run.data.rows["train"].tolist())


def test_weights_are_those_of_the_training_split():
    run = make_run("weights")
    objective, rows = run.data.objectives["colour"], run.data.rows["train"]
    counts = objective.targets[rows].bincount()
    logits = torch.zeros(len(CLASSES), len(CLASSES))
    losses = [objective.loss(logits[:1], torch.tensor([code]), 0.0).item() for code in range(3)]
    expected = len(rows) / (len(CLASSES) * counts) * torch.tensor(3.0).log()
    assert losses == pytest.approx(expected.tolist())
