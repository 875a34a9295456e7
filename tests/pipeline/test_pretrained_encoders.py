"""Pretrained encoders through the pipeline, to a model that predicts without their files."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.torch import load_file

from components.data.tables import read_table
from components.model.predictor import Predictor
from components.training.tables import HISTORY
from flows.dvc.stages import Stages
from flows.explain import explain
from tests.pipeline.test_missing_modalities import AFTER_INGEST, SPLITS, write_ingested
from tests.support import published
from tests.support.clone import Clone
from tests.support.media import png, wav
from tests.support.stages import run_by_hand
from tests.support.tiny_model import PRESENT

ROW = pd.DataFrame({"image": [png(0)], "text": ["a red circle?"], "audio": [wav(0)]})
FROZEN, FINETUNE = ("frozen",) * 3, ("finetune",) * 3


def encoder_settings(names: Sequence[str], modes: Sequence[str]) -> dict[str, Any]:
    """Return settings that name an encoder per modality, and its mode in joint training."""
    encoders = {f"features.{m}.encoder": n for m, n in zip(PRESENT, names, strict=True)}
    return encoders | {"train.encoders": dict(zip(PRESENT, modes, strict=True))}


def save_encoders(folder: Path, names: Sequence[str]) -> None:
    """Save a tiny model per modality where settings may name it."""
    for m, name in zip(PRESENT, names, strict=True):
        place = folder / "pretrained" / m / name
        if name.startswith("timm/"):
            published.save_timm(place, place.name)
        else:
            published.save(place, getattr(published, name))


def is_unchanged(folder: Path, modality: str) -> bool:
    """Return whether the trained model has the encoder of the stage `features`."""
    weights = load_file(folder / "models/synesthesia/model.safetensors")
    taken = load_file(folder / f"models/encoders/{modality}.safetensors")
    return all(weights[f"encoders.{modality}.{n}"].equal(value) for n, value in taken.items())


def history_of(folder: Path, modality: str) -> pd.DataFrame:
    """Return the history of an encoder's training, empty if it was not trained."""
    return read_table(folder / f"reports/history/features_{modality}.csv", HISTORY)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the stages after ingest on few samples; return the predictor."""
    monkeypatch.chdir(tmp_path)

    def run_stages(names: Sequence[str], modes: Sequence[str]) -> Predictor:
        changes = {"preprocess.audio.max_seconds": 1.0} | encoder_settings(names, modes)
        write_ingested(tmp_path, dict.fromkeys(PRESENT, SPLITS), **changes)
        run_by_hand(AFTER_INGEST)
        return Predictor(tmp_path / "models/synesthesia")

    return run_stages


@pytest.mark.parametrize(
    ("names", "modes"),
    [
        (("timm/test_efficientnet", "t5", "whisper"), FROZEN),
        (("timm/test_efficientnet", "t5", "whisper"), FINETUNE),
        (("dinov2", "clip", "ast"), FINETUNE),
        (("convnext", "clap", "clap"), FINETUNE),
        (("vit_pooled", "roberta", "wav2vec2_large"), FINETUNE),
    ],
    ids=lambda words: "+".join(dict.fromkeys(words)),
)
def test_published_models_predict_without_their_folders(run, tmp_path, names, modes):
    save_encoders(tmp_path, names)
    predictor = run(names, modes)
    shutil.rmtree(tmp_path / "pretrained")
    predictions = Predictor(tmp_path / "models/synesthesia")(ROW)
    assert predictions.equals(predictor(ROW)) and set(predictions["type"]) <= {"a", "b"}
    for m in PRESENT:
        assert history_of(tmp_path, m).empty
        assert is_unchanged(tmp_path, m) == (modes == FROZEN)


@pytest.mark.parametrize("modes", [FROZEN, FINETUNE], ids=["frozen", "finetune"])
def test_torchvision_and_patches_are_trained_here(run, tmp_path, modes):
    predictor = run(("mobilenet_v3_small", "transformer", "patches"), modes)
    assert set(predictor(ROW)["type"]) <= {"a", "b"}
    for m in PRESENT:
        assert not history_of(tmp_path, m).empty


NAMES, MODES = ("clip", "bert", "wav2vec2"), ("frozen", "finetune", "frozen")


@pytest.fixture(scope="module")
def clone(tmp_path_factory, empty_store) -> Clone:
    """A clone after `dvc repro` with an encoder of Transformers per modality."""
    made = Clone.fresh(
        tmp_path_factory.mktemp("pretrained") / "clone", encoder_settings(NAMES, MODES)
    )
    shutil.copy(empty_store, made.path / "mlflow.db")
    save_encoders(made.path, NAMES)
    made.run("dvc", "repro", "-q")
    return made


def test_registered_model_predicts_without_folders(clone, tmp_path):
    assert "up to date" in clone.run("dvc", "status")
    moved = clone.copy(tmp_path / "clone")
    shutil.rmtree(moved.path / "pretrained")
    shutil.rmtree(moved.path / "models")
    (tmp_path / "a.png").write_bytes(png(0))
    (tmp_path / "a.wav").write_bytes(wav(0))
    media = ["--image", str(tmp_path / "a.png"), "--audio", str(tmp_path / "a.wav")]
    printed = moved.run("components.serving.predict", *media, "--text", "is it red?")
    assert {line.split()[0] for line in printed.splitlines()} >= {"answer", "shape", "colour"}
    needed = [path.read_text() for path in moved.path.glob("mlartifacts/**/requirements.txt")]
    assert needed and all("transformers==" in text for text in needed)


def test_only_finetuned_encoder_changes(clone):
    assert [is_unchanged(clone.path, m) for m in PRESENT] == [True, False, True]


def test_model_folder_says_what_rebuilds_encoders(clone):
    config = clone.read_json("models/synesthesia/config.json")
    kinds = {m: given["config"]["model_type"] for m, given in config["descriptions"].items()}
    assert kinds == {"image": "clip", "text": "bert", "audio": "wav2vec2"}
    assert str(clone.path) not in json.dumps(config)


def test_edited_pretrained_folder_is_seen(clone, tmp_path, monkeypatch):
    edited = clone.copy(tmp_path / "clone")
    with open(edited.path / "pretrained/audio/wav2vec2/model.safetensors", "ab") as file:
        file.write(b"edited")
    monkeypatch.chdir(edited.path)
    assert "pretrained/audio" in explain(Stages())["features_audio"]
