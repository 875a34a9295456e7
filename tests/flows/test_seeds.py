"""A new seed alone makes no champion: small models, learnt, examined, compared and judged."""

import itertools
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from components.modalities.registry import MODALITIES
from PIL import Image
from scipy import stats

from components.common.files import read_json
from components.common.hashing import content_id
from components.config.settings import Settings
from components.data.assets import AssetTensors
from components.data.batch import make_samples
from components.data.shards import Asset, MediaWriter, media_of
from components.data.tables import SAMPLES, read_table, write_table
from components.evaluate import compare
from components.evaluate import evaluation as exam
from components.modalities.processors import build_processors
from components.modalities.text.processing import train_tokenizer
from components.model.folder import save_model
from components.model.multimodal import ModelConfig, MultimodalModel
from components.train.data import Course, batches
from components.train.objective import losses, share
from components.training.checkpoint import Checkpoint
from components.training.loop import fit
from components.training.run import Recipe
from components.training.settings import OptimiserSettings
from flows.gates import Gate, judge
from tests.shrunk import encoded, small_params, write_params

TAUGHT, ASKED = 64, 400  # images
CLASSES = {"shape": ["circle", "square"], "colour": ["blue", "red"]}
SEEDS = range(6)
EPOCHS, BATCH = 25, 16
PARAMS = small_params(
    {
        "tasks": {name: small_params()["tasks"][name] for name in CLASSES},
        "ingest.slices": [],
        "features.image.width": 32,  # enough for opinions of its own about shapes
        "model.size": {"width": 32, "layers": 1, "heads": 2},
        "promote.maximum_drop": {f"accuracy/{name}/image": 0.01 for name in CLASSES},
        "promote.require": "better",
        "promote.maximum_latency_ms": None,  # how fast this machine is, is no matter of seeds
    }
)
SETTINGS = Settings.model_validate(PARAMS)


def make_world(folder: Path) -> None:
    """Images that show their `colour`; what their `shape` is, a coin has said.

    So every model learns all about colours, and none can be better than another at shapes,
    whatever its seed, though each answers them in its own way.
    """
    chance = np.random.default_rng(0)
    red = chance.random(TAUGHT + ASKED) < 0.5
    pictures = chance.integers(0, 128, (len(red), 4, 4, 3), dtype=np.uint8)
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
            "split": ["train"] * TAUGHT + ["test"] * ASKED,
            "image_id": list(map(content_id, contents)),
            "text_id": None,
            "audio_id": None,
            "shape": np.array(CLASSES["shape"])[chance.integers(0, 2, len(red))],
            "colour": np.array(CLASSES["colour"])[red.astype(int)],
        },
        dtype="str",
    )
    write_table(folder / "samples", table, SAMPLES)
    write_params(folder / "params", PARAMS)


def learn(folder: Path, seed: int, epochs: int) -> Path:
    """The folder of a model that learnt the world with a seed."""
    torch.manual_seed(seed)
    model = MultimodalModel(
        ModelConfig.of(SETTINGS, {n: {"classes": c} for n, c in CLASSES.items()}, ("image",))
    )
    tokenizer = train_tokenizer(["none"], SETTINGS.preprocess.text)
    process = build_processors(SETTINGS.preprocess, {}, tokenizer)["image"]
    table = read_table(folder / "samples", SAMPLES)
    table = table[table["split"] == "train"]
    ids, contents = zip(*media_of(folder / "media/image", set(table["image_id"])), strict=True)
    pixels = {name: torch.as_tensor(v) for name, v in process(contents).items()}
    assets = {"image": AssetTensors(ids, pixels)}
    train = make_samples(table, assets, SETTINGS.tasks, model.kinds)
    course = Course(model, assets, set(), {"train": train}, SETTINGS.tasks, 0.0, BATCH)
    made = folder / f"{seed}-{epochs}"
    fit(
        Recipe(
            module=model,
            batches=lambda: batches(course),
            share=partial(share, course),
            losses=partial(losses, course),
            measure=dict,
            options=OptimiserSettings(
                epochs=epochs, batch=BATCH, learning_rate=0.005, weight_decay=0.0
            ),
            seed=seed,
            checkpoint=Checkpoint(folder / "checkpoint", made.name),
            label="train",
        )
    )
    save_model(made, model, tokenizer.to_str())
    return made


def run(module, **paths: Path) -> None:
    """Run a component's command in this process."""
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module.__name__, *words])
        module.STAGE.run(module.work)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    make_world(folder)
    return folder


def examined(world: Path, seed: int, epochs: int = EPOCHS) -> Path:
    """The exam of a model that learnt with a seed."""
    model = learn(world, seed, epochs)
    found = world / f"exam-{model.name}"
    paths = {name: world / name for name in ("params", "samples", "media")}
    run(exam, **paths, model=model, exam=found)
    return found


def gates(world: Path, challenger: Path, champion: Path) -> list[Gate]:
    """What the gates say."""
    comparison = world / "comparison.json"
    models = {"challenger": challenger, "champion": champion}
    run(compare, params=world / "params", **models, comparison=comparison)
    exams = [read_json(path / exam.EXAM) for path in models.values()]
    return judge(SETTINGS.promote, *exams, read_json(comparison))


@pytest.fixture
def quick(monkeypatch):
    """Fewer resamples, since many pairs are looked at."""
    monkeypatch.setattr(compare, "RESAMPLES", 499)


def test_a_new_seed_alone_makes_no_champion(world, quick):
    """At least no more often than `confidence` says, though one of two always looks better."""
    exams = [examined(world, seed) for seed in SEEDS]
    found = [gates(world, *pair) for pair in itertools.permutations(exams, 2)]
    seemed = [pair for pair in found if any(gate.found > gate.champion for gate in pair)]
    better = [pair for pair in found if pair[-1].passed]
    promoted = [pair for pair in better if all(gate.passed for gate in pair)]
    luck = stats.binom.ppf(0.99, len(found), 1 - SETTINGS.promote.confidence)
    assert len(promoted) <= len(better) <= luck < len(seemed)


def test_one_that_has_learnt_more_is_better(world, quick):
    more, less = examined(world, 0), examined(world, 0, epochs=1)
    better, worse = gates(world, more, less)[-1], gates(world, less, more)[-1]
    assert better.name == "require better: accuracy/colour/image"
    assert (better.passed, worse.passed) == (True, False)
