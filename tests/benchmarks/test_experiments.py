"""The harness of docs/experiments.md: its rows, what they change, and that nothing else changes."""

from concurrent.futures import Future
from pathlib import Path

import pytest
import yaml

from benchmarks import experiments
from benchmarks.experiments import GROUPS, PARAMS, Outcome, prepare, run, table, variants
from benchmarks.stages import PipelineStage
from components.common.files import read_json
from components.fusion.registry import FUSIONS
from components.training.task_sampling import SAMPLERS
from components.training.weighting.registry import WEIGHTINGS
from flows.params_file import edited
from tests.support.params import small_example

SUBSETS = ["image", "audio", "image-audio"]


@pytest.fixture(scope="module")
def params(tmp_path_factory) -> Path:
    """The parameters of the digits, made small."""
    path = tmp_path_factory.mktemp("params") / "digits.yaml"
    path.write_text(yaml.safe_dump(small_example("digits")))
    return path


@pytest.fixture(scope="module")
def made(params, tmp_path_factory) -> Path:
    """A folder in which the stages before training ran, and a model that is not to change."""
    folder = tmp_path_factory.mktemp("made")
    prepare(params, 0, folder)
    (folder / "models/synesthesia").mkdir()
    (folder / "models/synesthesia/config.json").write_text("the model of an earlier run")
    return folder


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """The stages that run, without settings; instead of train, the fusion of its model."""
    seen, run_stage = [], PipelineStage.run

    def noted(stage, folder):
        run_stage(stage, folder)
        config = folder / "models/synesthesia/config.json"
        if stage.name == "train":
            seen.append(read_json(config)["model"]["fusion"]["kind"])
        elif stage.name != "settings":
            seen.append(stage.name)

    monkeypatch.setattr(PipelineStage, "run", noted)
    return seen


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_words_are_those_of_the_registries():
    assert {name: GROUPS[name].keys() for name in GROUPS if name != "loop"} == {
        "fusion": FUSIONS.keys(),
        "loss": {"infonce", "sigmoid"},
        "weighting": WEIGHTINGS.keys(),
        "task_sampling": SAMPLERS.keys(),
    }


@pytest.mark.parametrize("data", PARAMS)
@pytest.mark.parametrize("name", GROUPS)
def test_variants_are_valid_settings(name, data):
    """Each changes one key of the shipped settings, and weights of tasks that are compared."""
    tasks = yaml.safe_load(PARAMS[data].read_text())["tasks"]
    weights = {f"tasks.{task}.weight": 1.0 for task in tasks}
    compared = weights if name in ("weighting", "task_sampling") else {}
    for row, changes in variants(name, tasks).items():
        assert changes == GROUPS[name][row] | compared
        assert len(GROUPS[name][row]) <= 1
        edited(PARAMS[data], changes)


@pytest.mark.slow
def test_variants_train_what_they_name(params, made, ran):
    before = files(made)
    for word, changes in list(variants("fusion", []).items())[:2]:
        (outcome,) = run(params, changes, {0: made}, seconds=0.1)
        assert set(ran) == {word}
        assert list(outcome.accuracy) == SUBSETS
        assert all(0 <= value <= 1 for value in outcome.accuracy.values())
        assert outcome.epochs >= 1 and outcome.rate > 0 and outcome.parameters > 0
        ran.clear()
    assert files(made) == before


@pytest.mark.slow
def test_changed_alignment_aligns_anew(params, made, ran):
    before = files(made)
    run(params, {"align.loss": "sigmoid"}, {0: made}, seconds=0.1)
    assert ran[0] == "align" and ran.count("align") == 1 and len(ran) > 1
    assert files(made) == before


@pytest.mark.slow
def test_more_time_is_more_epochs(params, made, monkeypatch):
    monkeypatch.setattr(experiments, "train", lambda folder, epochs: 2 + 0.5 * epochs)
    monkeypatch.setattr(experiments, "evaluate", lambda folder, *timing: timing)
    prepared = {0: made, 1: made}
    assert run(params, {"model.fusion": "late"}, prepared, seconds=10.0) == [(0.5, 20)] * 2
    assert run(params, {"model.fusion": "late"}, prepared, seconds=0.1) == [(0.5, 1)] * 2


def test_table_has_a_row_per_variant():
    """With mean and range."""

    def done(*accuracies: float) -> Future:
        future = Future()
        found = [{"image": accuracy, "audio": 0.5} for accuracy in accuracies]
        future.set_result([Outcome(accuracy, 1234, 2000.0, 7) for accuracy in found])
        return future

    lines = list(table("fusion", {"concat": done(0.7, 0.8), "late": done(1.0)}))
    assert lines == [
        "| fusion | image | audio | parameters | samples/s | epochs |",
        "|---|---|---|---|---|---|",
        "| concat | 75.0 (70.0–80.0) | 50.0 (50.0–50.0) | 1,234 | 2,000 | 7 |",
        "| late | 100.0 (100.0–100.0) | 50.0 (50.0–50.0) | 1,234 | 2,000 | 7 |",
    ]


@pytest.mark.slow
def test_script_prints_tables(params, tmp_path, monkeypatch, capsys):
    """Of one group, on digits made for the seed."""
    monkeypatch.setitem(PARAMS, "digits", params)
    words = ["loss", "task_sampling", "--data", "digits", "--seeds", "0", "--seconds", "0.1"]
    words += ["--processes", "1", "--work", str(tmp_path)]
    experiments.main(words)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("| ")] == [
        *("loss", "infonce", "sigmoid")
    ]
