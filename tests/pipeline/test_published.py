"""Published encoders through the pipeline's stages, to a model that answers without their files."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from components.modalities.registry import MODALITIES
from safetensors.torch import load_file

from components.data.tables import HISTORY, read_table
from components.model.predictor import Predictor
from tests.clone import Clone
from tests.model import published
from tests.shrunk import png, wav
from tests.stages import run_by_hand
from tests.test_absent import SPLITS, STAGES_OF_LEARNING, write_world

SECONDS = {"preprocess.audio.max_seconds": 1.0}


def named(*names: str) -> dict[str, str]:
    """Settings that name an encoder for each modality."""
    return {f"features.{m}.encoder": name for m, name in zip(MODALITIES, names, strict=True)}


def place(folder: Path, names: tuple[str, ...]) -> None:
    """Save a tiny model for each modality where the settings may name it."""
    for modality, name in zip(MODALITIES, names, strict=True):
        published.save(folder / "pretrained" / modality / name, getattr(published, name))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the stages of learning by hand on a small world, with other settings."""
    monkeypatch.chdir(tmp_path)

    def run_stages(**changes):
        write_world(tmp_path, {m: SPLITS for m in MODALITIES}, **SECONDS, **changes)
        run_by_hand(STAGES_OF_LEARNING, monkeypatch)
        return Predictor(tmp_path / "models/synesthesia")

    return run_stages


ROW = pd.DataFrame({"image": [png(0)], "text": ["a red circle?"], "audio": [wav(0)]})


@pytest.mark.parametrize(
    "names",
    [
        ("vit", "t5", "whisper"),
        ("dinov2", "clip", "ast"),
        ("convnext", "clap", "clap"),
        ("vit_pooled", "roberta", "wav2vec2_large"),
    ],
    ids="+".join,
)
@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_models_of_transformers_are_taken_and_answer_without_their_folders(
    run, tmp_path, names, mode
):
    place(tmp_path, names)
    predictor = run(**named(*names), **{f"train.encoders.{m}": mode for m in MODALITIES})
    shutil.rmtree(tmp_path / "pretrained")
    answers = Predictor(tmp_path / "models/synesthesia")(ROW)
    assert answers.equals(predictor(ROW)) and set(answers["type"]) <= {"a", "b"}
    weights = load_file(tmp_path / "models/synesthesia/model.safetensors")
    for m in MODALITIES:
        assert read_table(tmp_path / f"reports/history/features_{m}.csv", HISTORY).empty
        taken = load_file(tmp_path / f"models/encoders/{m}.safetensors")
        same = [weights[f"encoders.{m}.{name}"].equal(value) for name, value in taken.items()]
        assert all(same) == (mode == "frozen")


@pytest.mark.parametrize("mode", ["frozen", "finetune"])
def test_torchvision_s_models_and_patches_are_taught_here(run, tmp_path, mode):
    modes = {f"train.encoders.{m}": mode for m in MODALITIES}
    predictor = run(**named("mobilenet_v3_small", "transformer", "patches"), **modes)
    assert set(predictor(ROW)["type"]) <= {"a", "b"}
    for m in MODALITIES:
        assert not read_table(tmp_path / f"reports/history/features_{m}.csv", HISTORY).empty


NAMES = ("clip", "bert", "wav2vec2")
MIXED = {**named(*NAMES), "train.encoders.text": "finetune"}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    """A clone after `dvc repro` with an encoder of Transformers for each modality."""
    made = Clone.fresh(tmp_path_factory.mktemp("published") / "clone", MIXED)
    place(made.path, NAMES)
    made.run("dvc", "repro", "-q")
    return made


def test_the_registered_model_answers_after_the_folders_are_gone(clone, tmp_path):
    assert "up to date" in clone.run("dvc", "status")
    away = clone.copy(tmp_path / "clone")
    shutil.rmtree(away.path / "pretrained")
    shutil.rmtree(away.path / "models")
    (tmp_path / "a.png").write_bytes(png(0))
    (tmp_path / "a.wav").write_bytes(wav(0))
    media = ["--image", str(tmp_path / "a.png"), "--audio", str(tmp_path / "a.wav")]
    answer = away.run("components.serving.predict", *media, "--text", "is it red?")
    assert {line.split()[0] for line in answer.splitlines()} >= {"answer", "shape", "colour"}
    needed = [path.read_text() for path in away.path.glob("mlartifacts/**/requirements.txt")]
    assert needed and all("transformers==" in text for text in needed)


def test_only_the_encoder_that_is_finetuned_changes(clone):
    weights = load_file(clone.path / "models/synesthesia/model.safetensors")
    for m in MODALITIES:
        taken = load_file(clone.path / f"models/encoders/{m}.safetensors")
        same = all(weights[f"encoders.{m}.{name}"].equal(value) for name, value in taken.items())
        assert same == (m != "text")


def test_the_model_s_folder_says_what_rebuilds_its_encoders(clone):
    config = json.loads(clone.read("models/synesthesia/config.json"))
    kinds = {m: given["config"]["model_type"] for m, given in config["descriptions"].items()}
    assert kinds == {"image": "clip", "text": "bert", "audio": "wav2vec2"}
    assert str(clone.path) not in json.dumps(config)


def test_an_edit_of_a_pretrained_folder_is_seen(clone, tmp_path):
    edited = clone.copy(tmp_path / "clone")
    with open(edited.path / "pretrained/audio/wav2vec2/model.safetensors", "ab") as file:
        file.write(b"edited")
    assert "pretrained/audio" in edited.run("flows.why")
