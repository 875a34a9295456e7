"""Every configuration in examples/ runs, made small."""

from pathlib import Path

import pandas as pd
import pytest

from components.common.files import read_json
from components.model.predictor import Predictor
from flows.check import check_text
from tests.support import published
from tests.support.params import EXAMPLES, ROOT, small_example, write_params
from tests.support.stages import STAGES, run_by_hand

MODEL = Path("models/synesthesia")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run every stage, except for the registration, with an example as params.yaml."""
    monkeypatch.chdir(tmp_path)

    def run_example(name: str) -> None:
        Path("source").mkdir()
        write_params(Path("params.yaml"), small_example(name))
        run_by_hand(stage for stage in STAGES if stage != "register")

    return run_example


def test_every_example_is_run_here():
    assert {path.stem for path in (ROOT / "examples").iterdir()} == {*EXAMPLES}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_valid_in_full_size(name):
    path = ROOT / f"examples/{name}.yaml"
    check_text(path.read_bytes(), path)


def test_digits_from_image_and_audio(run):
    run("digits")
    metrics = read_json(Path("reports/metrics.json"))
    assert list(metrics["accuracy"]["digit"]) == ["image", "audio", "image-audio"]
    assert metrics["slices"]["digit"].keys() == {"voice", "accent"}


def test_pretrained_encoders_are_used(run):
    """Small models stand for those of `import_pretrained`, whose tests have them in full size."""
    published.save_timm(Path("pretrained/image/timm/tf_efficientnet_lite0"), "test_efficientnet")
    published.save(Path("pretrained/audio/whisper-tiny.en"), published.whisper)
    run("pretrained")
    descriptions = read_json(MODEL / "config.json")["descriptions"]
    assert descriptions["image"]["config"]["architecture"] == "test_efficientnet"
    assert descriptions["audio"]["config"]["model_type"] == "whisper"
    assert descriptions["text"]["normalised"]


def test_minilm_encodes_questions(run):
    run("minilm")
    assert read_json(MODEL / "config.json")["descriptions"]["text"]["normalised"]
    predictions = Predictor(MODEL)(pd.DataFrame({"text": ["is there a red shape?"]}))
    assert predictions["question_type"].notna().all()
