"""A new seed alone makes no champion: small models, trained, evaluated, compared and judged."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy import stats

from components.common.files import read_json
from components.common.hashing import content_id
from components.data.assets import AssetTensors
from components.data.batches import Samples, asset_rows
from components.data.samples import SPLIT, SPLITS, read_samples, samples_schema
from components.data.shards import Asset, MediaWriter, read_assets
from components.data.tables import write_table
from components.evaluate.comparison import __main__ as comparing
from components.evaluate.comparison import statistics
from components.evaluate.evaluation import __main__ as evaluating
from components.evaluate.evaluation.results import Evaluation
from components.modalities.registry import MODALITIES, processing_of
from components.model.folder import save_model
from components.stage.stage import Stage
from components.train.data import TrainingData
from components.train.joint_training import JointTraining
from components.train.settings import TrainStageSettings
from components.training.checkpoint import Checkpoint
from components.training.loop import train
from flows.promotion.gates import Gate, judge
from flows.settings import FlowSettings
from tests.support.media import encoded
from tests.support.params import small_params, write_params
from tests.support.tiny_model import build_model, make_processors

IMAGES = {"train": 64, "validation": 2, "test": 400}
CLASSES = {"shape": ["circle", "square"], "colour": ["blue", "red"]}
VOCABULARY = {name: {"classes": classes} for name, classes in CLASSES.items()}
SEEDS = range(6)
EPOCHS, LEARNING_RATE = 25, 0.005
MODEL = {
    "features.image.width": 32,  # enough to differ between seeds about shapes
    "model.size": {"width": 32, "layers": 1, "heads": 2},
}
CHANGES = MODEL | {
    "tasks": {name: small_params()["tasks"][name] for name in CLASSES},
    "ingest.slices": [],
    "train.encoders": dict.fromkeys(MODALITIES, "finetune"),
    "train.encoder_learning_rates": dict.fromkeys(MODALITIES, LEARNING_RATE),
    "train.learning_rate": LEARNING_RATE,
    "train.weight_decay": 0.0,
    "train.modality_dropout": 0.0,
    "promote.maximum_drop": {f"accuracy/{name}/image": 0.01 for name in CLASSES},
    "promote.require": "better",
    "promote.maximum_latency_ms": None,  # the speed of this machine does not depend on seeds
}
PROMOTE = FlowSettings.model_validate(small_params(CHANGES)).promote

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Images that show their `colour`, while their `shape` is random.

    So every model learns all about colours, and none can be better than another at shapes,
    whatever its seed, though each predicts them in its own way.
    """
    folder = tmp_path_factory.mktemp("seeds")
    generator = np.random.default_rng(0)
    red = generator.random(sum(IMAGES.values())) < 0.5
    pictures = generator.integers(0, 128, (len(red), 4, 4, 3), dtype=np.uint8)
    pictures = pictures.repeat(8, 1).repeat(8, 2)
    pictures[red, ..., 0] += 127
    pictures[~red, ..., 2] += 127
    contents = [encoded(Image.fromarray(picture)) for picture in pictures]
    for modality in MODALITIES:
        writer = MediaWriter(folder / "media" / modality)
        for content in contents if modality == "image" else ():
            writer.add(Asset(content_id(content), content))
        writer.close()
    table = pd.DataFrame(
        {
            "sample_id": [f"{n:04d}" for n in range(len(red))],
            "split": [split for split, count in IMAGES.items() for _ in range(count)],
            "image_id": list(map(content_id, contents)),
            **dict.fromkeys(("text_id", "audio_id", "tabular_id")),
            "shape": np.array(CLASSES["shape"])[generator.integers(0, 2, len(red))],
            "colour": np.array(CLASSES["colour"])[red.astype(int)],
        },
        dtype="str",
    )
    write_table(folder / "samples", table, samples_schema(MODALITIES))
    write_params(folder / "params", small_params(CHANGES))
    return folder


def train_model(folder: Path, seed: int, epochs: int) -> Path:
    """Train a model on the world with a seed; return its folder."""
    changes = CHANGES | {"train.epochs": epochs}
    settings = TrainStageSettings.model_validate(small_params(changes))
    modalities = ("image",)
    model = build_model(settings.tasks, VOCABULARY, seed, True, modalities, **MODEL)
    states = make_processors(modalities)
    process = processing_of("image").build(states["image"])
    table = read_samples(folder / "samples", MODALITIES)
    learnt = set(table["image_id"][table[SPLIT] != "test"])
    ids, contents = zip(*read_assets(folder / "media/image", learnt), strict=True)
    pixels = {name: torch.as_tensor(value) for name, value in process(contents).items()}
    assets = {"image": AssetTensors(ids, pixels)}
    samples = {}
    for split in SPLITS[:2]:
        rows = table[table[SPLIT] == split]
        targets = {name: task.targets(rows[name]) for name, task in model.tasks.items()}
        samples[split] = Samples(asset_rows(rows, assets, modalities), targets)
    data = TrainingData(model, assets, samples, settings.tasks, settings.train)
    made = folder / f"{seed}-{epochs}"
    train(JointTraining(data, seed, Checkpoint(folder / "checkpoint", made.name)))
    save_model(made, model, states)
    return made


def run(stage: Stage, world: Path, **paths: Path) -> None:
    """Run a command in this process, with the world's parameters."""
    paths["params"] = world / "params"
    stage.main([word for name, path in paths.items() for word in (f"--{name}", str(path))])


def evaluate(world: Path, seed: int, epochs: int = EPOCHS) -> Evaluation:
    """Train a model with a seed and evaluate it."""
    model = train_model(world, seed, epochs)
    found = world / f"evaluation-{model.name}"
    paths = {name: world / name for name in ("samples", "media")}
    run(evaluating.STAGE, world, **paths, model=model, evaluation=found)
    return Evaluation(found)


def gates(world: Path, challenger: Evaluation, champion: Evaluation) -> list[Gate]:
    """Return what the gates say."""
    comparison = world / "comparison.json"
    folders = {"challenger": challenger.folder, "champion": champion.folder}
    run(comparing.STAGE, world, **folders, comparison=comparison)
    return judge(PROMOTE, challenger, champion, read_json(comparison))


@pytest.fixture
def few_resamples(monkeypatch) -> None:
    """Fewer resamples, since many pairs are compared."""
    monkeypatch.setattr(statistics, "RESAMPLES", 499)


def test_new_seed_alone_makes_no_champion(world, few_resamples):
    """At least no more often than `confidence` says, though one of two always looks better."""
    evaluations = [evaluate(world, seed) for seed in SEEDS]
    found = [gates(world, *pair) for pair in itertools.permutations(evaluations, 2)]
    seemed = [pair for pair in found if any(gate.found > gate.champion for gate in pair)]
    better = [pair for pair in found if pair[-1].passed]
    promoted = [pair for pair in better if all(gate.passed for gate in pair)]
    luck = stats.binom.ppf(0.99, len(found), 1 - PROMOTE.confidence)
    assert len(promoted) <= len(better) <= luck < len(seemed)


def test_longer_training_is_better(world, few_resamples):
    more, less = evaluate(world, 0), evaluate(world, 0, epochs=1)
    better, worse = gates(world, more, less)[-1], gates(world, less, more)[-1]
    assert better.name == "require better: accuracy/colour/image"
    assert (better.passed, worse.passed) == (True, False)
