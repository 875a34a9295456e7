"""Every stage by hand: its help, its errors, and what decides its result."""

from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from components.stage.arguments import (
    Arguments,
    input_path,
    option_name,
    output_path,
    state_path,
    with_role,
)
from components.stage.resource_usage import FOLDER
from components.stage.settings import Count, Settings, keys_of
from components.stage.stage import Stage
from tests.support.params import ROOT, change, shipped, write_params
from tests.support.process import assert_refused, run_python
from tests.support.stages import STAGES

INDIRECT = {"params", "code"}  # inputs that a stage without data of its own has too


@pytest.fixture
def exit_code(monkeypatch, tmp_path):
    """Run a stage with a command line in an empty folder; return its exit code."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *words: str) -> int:
        with pytest.raises(SystemExit) as end:
            STAGES[name].stage.main(list(words))
        return end.value.code

    return run


@pytest.mark.parametrize("name", STAGES)
def test_help_explains_every_option(exit_code, capsys, name):
    assert exit_code(name, "--help") == 0
    output = capsys.readouterr().out
    for item in fields(STAGES[name].stage.arguments):
        assert option_name(item) in output


@pytest.mark.parametrize("name", STAGES)
def test_missing_option_is_named(exit_code, capsys, name):
    assert exit_code(name) == 2
    assert "the following arguments are required: --" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", [n for n, r in STAGES.items() if {*with_role(r.stage.arguments, "input")} - INDIRECT]
)
def test_missing_input_is_named_before_any_work(exit_code, capsys, tmp_path, name):
    assert exit_code(name, *STAGES[name].by_hand, "--params", str(ROOT / "params.yaml")) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --")
    assert "does not exist. If a stage makes it, run: dvc repro" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [n for n in STAGES if n not in ("code", "settings")])
def test_bad_settings_are_refused_before_any_work(exit_code, capsys, tmp_path, name):
    row = STAGES[name]
    key = list(keys_of(row.stage.settings(row.arguments)))[-1]
    write_params(tmp_path / "params.yaml", change(shipped(), {key: 0}))
    assert exit_code(name, *row.by_hand, "--params", "params.yaml") == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: params.yaml cannot be used:"
    assert second.startswith(f"  {key}: ") and "found 0" in second
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


def test_mistake_ends_the_process_with_code_2(tmp_path):
    row = STAGES["preprocess_image"]
    words = (*row.by_hand, "--params", str(ROOT / "params.yaml"))
    process = run_python("-m", row.module, *words, cwd=tmp_path)
    assert_refused(process, "error: --media: data/media/image does not exist")


class EpochSettings(Settings):
    """What the toy stage reads."""

    epochs: Count


@dataclass(frozen=True, kw_only=True)
class TrainArguments(Arguments):
    """The command line of a toy stage that trains."""

    data: Path = input_path("text")
    checkpoint: Path = state_path("kept")
    history: Path = output_path("CSV")


def train(arguments: TrainArguments, settings: EpochSettings) -> None:
    arguments.history.write_text(f"{settings.epochs} {arguments.data.read_text()}")


TRAIN = Stage("Train.", TrainArguments, lambda _: EpochSettings, train)


@pytest.fixture
def toy(tmp_path, monkeypatch) -> Path:
    """The working directory, with the input and the settings of the toy stage."""
    monkeypatch.chdir(tmp_path)
    Path("data").write_text("a")
    Path("params.yaml").write_text("epochs: 3\nseed: nonsense")
    return tmp_path


WORDS = ["--data", "data", "--checkpoint", "state", "--history", "train.csv"]


def test_stage_works_with_its_settings(toy):
    TRAIN.main(WORDS)
    assert (toy / "train.csv").read_text() == "3 a"


@pytest.mark.parametrize(("rank", "sampled"), [(None, True), ("0", True), ("1", False)])
def test_first_process_of_a_training_samples_resources(toy, monkeypatch, rank, sampled):
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    TRAIN.main(WORDS)
    assert (toy / FOLDER / "train.json").exists() == sampled
