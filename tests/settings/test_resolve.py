"""The stage that writes every setting, defaults included."""

import pytest
import yaml

from components.settings.__main__ import STAGE
from components.settings.pipeline import PipelineSettings, resolved
from components.train.settings import TrainStageSettings
from tests.support.params import ROOT

LEAST = "tasks: {answer: {column: answer}}\n"


def resolve(folder, text: str) -> dict:
    (folder / "params.yaml").write_text(text)
    words = ["--params", str(folder / "params.yaml"), "--resolved", str(folder / "settings.yaml")]
    STAGE.main(words)
    return yaml.safe_load((folder / "settings.yaml").read_text())


def test_everything_but_tasks_has_a_default(tmp_path):
    found = resolve(tmp_path, LEAST)
    assert set(found) == {field.alias or n for n, field in PipelineSettings.model_fields.items()}
    assert found["train"]["epochs"] == 15 and found["features"]["audio"]["label_smoothing"] == 0.1
    assert TrainStageSettings.model_validate(found) == TrainStageSettings.model_validate(
        yaml.safe_load(LEAST)
    )


def test_equivalent_settings_give_the_same_bytes(tmp_path):
    """So that no stage runs again."""
    resolve(tmp_path, LEAST)
    before = (tmp_path / "settings.yaml").read_bytes()
    resolve(
        tmp_path, f"# a comment\noperate: {{retrain: 0 3 * * *}}\ntrain: {{epochs: 15}}\n{LEAST}"
    )
    assert (tmp_path / "settings.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "name",
    ["params.yaml", "examples/digits.yaml", "examples/minilm.yaml", "examples/pretrained.yaml"],
)
def test_shipped_settings_differ_from_defaults_only(name):
    """A key that says what is the default anyway is none that a reader needs."""
    shipped = yaml.safe_load((ROOT / name).read_text())
    for key in ("seed", "threads", "workers", "register"):
        assert key not in shipped
    for section in ("preprocess", "features"):
        for m, changes in shipped[section].items():
            defaults = resolved(yaml.safe_load(LEAST))[section][m]
            assert all(defaults[key] != value for key, value in changes.items()), (section, m)


def test_mistakes_of_several_stages_are_named_at_once(tmp_path, capsys):
    text = f"seed: -1\ntrain: {{epochs: 0}}\nmodel: {{fusoin: late}}\nalign: {{loss: l2}}\n{LEAST}"
    with pytest.raises(SystemExit, match="2"):
        resolve(tmp_path, text)
    lines = capsys.readouterr().err.splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == [
        *("seed", "align.loss", "model.fusoin", "train.epochs")
    ]
    assert not (tmp_path / "settings.yaml").exists()
