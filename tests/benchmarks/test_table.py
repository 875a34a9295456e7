"""Every part of the table, on tiny data."""

from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import yaml
from sklearn.model_selection import StratifiedShuffleSplit

from benchmarks import (
    clones,
    flow,
    idle,
    incremental,
    ingest,
    preprocess,
    processors,
    start,
    steps,
    table,
    tabular,
    throughput,
)
from benchmarks.project import Project
from tests.support.params import ROOT, SMALL

OF_LEARNING = ("features.", "align.", "model.size", "train.epochs")  # beginnings of keys
PETS = pd.DataFrame({"age": [*range(15)] * 4, "label": ["tame", "wild"] * 30})
SMALL_SIZES = (  # module, constant, value on tiny data
    (idle, "REPETITIONS", 1),
    (throughput, "SECONDS", 0.1),
    (throughput, "REPETITIONS", 1),
    (steps, "STEPS", 2),
    (steps, "REPETITIONS", 1),
    (flow, "SLEEP_SECONDS", 0),
    (flow, "REPETITIONS", 1),
    (clones, "SEEDS", (0,)),
    (preprocess, "IMAGES", 4),
    (preprocess, "PHOTOGRAPHS", 2),
    (preprocess, "SECONDS", 0.01),
    (preprocess, "REPETITIONS", 1),
    (ingest, "FEWER", 100),
    (ingest, "MORE", 200),
    (start, "ROWS", 150),
    (start, "TABLES", dict(list(start.TABLES.items())[:1])),
    (start, "CHANGES", {key: SMALL[key] for key in SMALL if key.startswith(OF_LEARNING)}),
    (incremental, "GROUPS", 40),
    (incremental, "MORE", 0.05),
    (incremental, "ORDERS", {"spread at random": incremental.spread}),
    (incremental, "SOUNDS", 2),
    (incremental, "VOCAB_SIZE", 300),
    (incremental, "WIDTH", 8),
    (processors, "PROCESSORS", {"this one": ()}),
    (processors, "SMALL", SMALL),
    (tabular, "TABLES", {"pets": lambda: PETS}),
    (tabular, "FOLDS", 1),
    (tabular, "StratifiedKFold", lambda folds, **_: StratifiedShuffleSplit(folds, random_state=0)),
)
OF_FINISHED_PIPELINE = ("idle", "throughput", "steps", "flow", "clones")
OF_OWN_DATA = ("preprocess", "ingest", "incremental", "start", "processors", "tabular")
OF_CODE = ("edits", "structure")


@pytest.fixture(autouse=True)
def small_sizes(monkeypatch):
    """Fresh clones have small pipelines; one stage of them is killed."""
    for module, constant, value in SMALL_SIZES:
        monkeypatch.setattr(module, constant, value)
    monkeypatch.setattr(Project, "fresh", partial(Project.fresh, settings=SMALL))
    run_killed, killed = clones.run_killed, "train"
    monkeypatch.setattr(
        clones, "run_killed", lambda clone, stages: run_killed(clone, {killed: stages[killed]})
    )


@pytest.fixture
def two_stages(monkeypatch, again):
    """The project and fresh clones of it have the first two stages only."""
    fresh = Project.fresh

    def shortened(path: Path) -> Project:
        project = fresh(path)
        pipeline = yaml.safe_load((path / "dvc.yaml").read_text())
        stages = {name: pipeline["stages"][name] for name in ("code", "settings")}
        for folder in (path, again.path):
            (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
            (folder / "dvc.lock").unlink()
        return project

    monkeypatch.setattr(Project, "fresh", shortened)


@pytest.fixture
def nearly_finished(monkeypatch, again):
    """Fresh clones lack the joint training only."""

    def shortened(path: Path) -> Project:
        project = Project(again.path).copy(path)
        project.forget("train")
        return project

    monkeypatch.setattr(Project, "fresh", shortened)


def test_every_part_is_run_here():
    assert {*OF_FINISHED_PIPELINE, *OF_OWN_DATA, *OF_CODE} == set(table.PARTS)


@pytest.mark.usefixtures("preloaded")
@pytest.mark.parametrize("part", OF_FINISHED_PIPELINE)
def test_part_of_finished_pipeline(again, request, part):
    """Equal bytes are equal on tiny data too; other figures only have to be there."""
    if part in ("flow", "clones"):
        request.getfixturevalue("two_stages" if part == "flow" else "nearly_finished")
    figures = list(import_module(f"benchmarks.{part}").figures(again.path))
    assert figures and all(figure.name and figure.measured for figure in figures)
    wrong = [f.name for f in figures if f.measured == "DIFFERENT" and "committed" not in f.name]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.usefixtures("preloaded")
@pytest.mark.parametrize("part", OF_OWN_DATA)
def test_part_of_own_data(part):
    figures = list(import_module(f"benchmarks.{part}").figures(ROOT))
    assert figures and all(figure.name and figure.measured for figure in figures)
    assert not any(figure.measured == "DIFFERENT" for figure in figures)


@pytest.mark.slow  # reads all code several times
def test_table_prints_parts_without_size(capsys):
    table.main(["structure", "edits"])
    output = capsys.readouterr().out
    assert "| figure | measured | bar |\n|---|---|---|\n" in output
    assert "| circles of files | 0 | 0 |" in output
    assert "| lines | function | place |" in output and "| edited file | what it is |" in output


def test_unknown_part_is_refused(capsys):
    with pytest.raises(SystemExit):
        table.main(["idel"])
    assert "invalid choice: 'idel'" in capsys.readouterr().err


@pytest.mark.parametrize("loop", steps.NEEDS)
def test_loop_of_optional_package(again, loop):
    if not find_spec(steps.NEEDS[loop]):
        pytest.skip(f"{steps.NEEDS[loop]} is not installed: pip install -e '.[bench]'")
    assert loop in steps.measure(again.path, "frozen")


@pytest.mark.slow
@pytest.mark.parametrize("kind", preprocess.MAPS)
def test_map_of_datasets(tmp_path, kind):
    if not find_spec("datasets"):
        pytest.skip("datasets is not installed: pip install -e '.[bench]'")
    preprocess.write_input(tmp_path, ROOT)
    assert preprocess.map_rate(kind, tmp_path) > 0


@pytest.mark.parametrize("library", preprocess.OPENCV_DECODERS)
def test_decoder_with_opencv(library):
    if not find_spec("cv2"):
        pytest.skip("OpenCV is not installed: pip install -e '.[bench]'")
    content = preprocess.numbered_photograph(0)
    assert preprocess.OPENCV_DECODERS[library](content).shape == (224, 224, 3)


def test_decoders_agree():
    """All give the same square, up to how they decode and resize."""
    content = preprocess.numbered_photograph(0)
    images = {name: decode(content) for name, decode in preprocess.decoders().items()}
    turned = {n: i.transpose(1, 2, 0) if i.shape[0] == 3 else i for n, i in images.items()}
    for name, image in turned.items():
        assert image.shape == (224, 224, 3), name
        assert abs(image.astype(int) - turned["Pillow at full size"]).mean() < 8, name
