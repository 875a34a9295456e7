"""Every stage by hand: its help, its errors, and what it may read."""

import importlib
import sys

import pytest

from components.config.command import View
from tests.shrunk import ROOT, assert_refused, run_python, small_settings
from tests.stages import STAGES


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Run a stage in this process with the words given; its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *words: str) -> int:
        module = importlib.import_module(STAGES[name].import_name)
        monkeypatch.setattr(sys, "argv", [name, *words])
        with pytest.raises(SystemExit) as end:
            module.STAGE.run(module.work)
        return end.value.code

    return run


def words(name: str) -> list[str]:
    """The options of a stage's command in dvc.yaml."""
    return [
        word for option, value in STAGES[name].options.items() for word in ("--" + option, value)
    ]


@pytest.mark.parametrize("name", STAGES)
def test_help_says_what_every_option_is(call, capsys, name):
    assert call(name, "--help") == 0
    output = capsys.readouterr().out
    stage = STAGES[name].stage
    for option in (*stage.inputs, *stage.outputs, *stage.optional, "params"):
        assert f"--{option}" in output


@pytest.mark.parametrize("name", STAGES)
def test_an_option_that_is_missing_is_named(call, capsys, name):
    assert call(name) == 2
    assert "the following arguments are required: --" in capsys.readouterr().err


@pytest.mark.parametrize("name", [name for name in STAGES if STAGES[name].stage.inputs])
def test_an_input_that_is_missing_is_named_before_any_work(call, capsys, tmp_path, name):
    assert call(name, "--params", str(ROOT / "params.yaml"), *words(name)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --") and "does not exist. Make it first: dvc repro" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", STAGES)
def test_bad_settings_are_refused_before_any_work(call, capsys, tmp_path, name):
    text = (ROOT / "params.yaml").read_text()
    text = text.replace("\n  modality_dropout:", "\n  modality_dropuot:")
    (tmp_path / "params.yaml").write_text(text)
    assert call(name, *words(name)) == 2
    error = capsys.readouterr().err
    assert "train.modality_dropuot: unknown key. Did you mean 'modality_dropout'?" in error
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_from_the_shell_it_is_exit_code_2_without_a_traceback(tmp_path):
    module, params = STAGES["preprocess_image"].module, str(ROOT / "params.yaml")
    process = run_python("-m", module, "--params", params, *words("preprocess_image"), cwd=tmp_path)
    assert_refused(process, "error: --media: data/media/image does not exist")


def test_a_view_shows_what_it_names_and_nothing_else():
    settings = small_settings()
    view = View(settings, ("seed", "preprocess.image", "register"))
    assert view.seed == settings.seed
    assert view.preprocess_image == settings.preprocess.image
    assert view.register == settings.register_
    for hidden in ("workers", "train", "preprocess", "preprocess_audio"):
        with pytest.raises(AttributeError, match=hidden):
            getattr(view, hidden)


def test_a_view_dumps_plain_values():
    view = View(small_settings(), ("seed", "preprocess.image", "tasks"))
    dumped = view.dump()
    assert dumped["preprocess_image"] == {"size": 32}
    shape = {name: value for name, value in dumped["tasks"]["shape"].items() if value is not None}
    assert shape == {
        "kind": "classification",
        "column": "shape",
        "decided_by": ["image"],
        "weight": 0.3,
    }
