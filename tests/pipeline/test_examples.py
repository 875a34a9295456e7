"""Every configuration in examples/ runs in small, in a clone of this tree."""

import json
from pathlib import Path

import pytest

from components.config.load import load_settings
from tests.clone import Clone
from tests.shrunk import EXAMPLES, ROOT, small_example, write_params


def reproduced(name: str, folder: Path) -> Clone:
    """A clone after `dvc repro` with an example in the place of params.yaml."""
    made = Clone.fresh(folder / "clone")
    write_params(made.path / "params.yaml", small_example(name))
    made.run("dvc", "repro", "-q")
    return made


def test_each_is_run_here():
    assert {path.stem for path in (ROOT / "examples").iterdir()} == {"digits", "minilm"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_complete_and_valid_in_full_size_too(name):
    load_settings(ROOT / f"examples/{name}.yaml")


def test_digits_are_recognised_by_what_is_seen_heard_or_both(tmp_path):
    made = reproduced("digits", tmp_path)
    metrics = json.loads(made.read("reports/metrics.json"))
    assert list(metrics["accuracy"]["digit"]) == ["image", "audio", "image+audio"]
    assert metrics["slices"]["digit"].keys() == {"voice", "accent"}
    assert "up to date" in made.run("dvc", "status")


def test_minilm_encodes_the_questions(tmp_path):
    made = reproduced("minilm", tmp_path)
    config = json.loads(made.read("models/synesthesia/config.json"))
    assert config["descriptions"]["text"]["normalised"]
    answer = made.run("components.serving.predict", "--text", "is there a red shape?")
    assert "question_type" in answer
