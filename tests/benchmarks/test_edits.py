"""Which stages an edit re-runs, computed from imports, and as DVC says."""

import pytest

from benchmarks import edits
from benchmarks.project import Project
from tests.support.params import ROOT

REAL = (  # files whose edits DVC is asked about
    "components/tasks/classification/plot.py",
    "components/training/downsample.py",
    "components/modalities/audio/decoding.py",
)


@pytest.fixture(scope="module")
def effects() -> dict[str, edits.Effect]:
    return edits.effects(ROOT)


def test_files_exist(effects):
    assert [file for file in effects if not (ROOT / file).is_file()] == []


def test_every_package_has_a_file(effects):
    folders = [
        path.relative_to(ROOT).as_posix()
        for package in ("components", "flows")
        for path in (ROOT / package).iterdir()
        if (path / "__init__.py").exists()
    ]
    assert [f for f in folders if not any(file.startswith(f"{f}/") for file in effects)] == []


def test_edits_with_a_bar_re_run_no_learning_stage(effects):
    assert list(edits.WITHOUT_LEARNING.values()) == [
        *("a plot", "the evaluation report", "corruptions", "the predictor", "`operate`"),
        "a source that is not in use",
    ]
    assert [file for file in edits.WITHOUT_LEARNING if effects[file].learning] == []
    assert [figure.measured for figure in edits.figures(ROOT)] == ["0"] * 6


def test_stages_are_told_from_those_after_them(effects):
    assert effects["components/evaluate/report.py"].stages == ["evaluate"]
    assert effects["components/evaluate/report.py"].later == ["register"]
    align = effects["components/align/contrastive.py"]
    assert align.stages == align.learning == ["align"]
    assert align.later == ["train", "evaluate", "register"]
    assert len(effects["components/common/files.py"].stages) == 15


def test_table_has_a_row_per_edit(effects):
    heads, line, *rows = edits.table(ROOT)
    assert heads.count("|") == line.count("|") == len(edits.HEADS) + 1
    assert len(rows) == len(effects)
    (row,) = [row for row in rows if "evaluate/report.py" in row]
    assert row.endswith("| the evaluation report | evaluate | register | 0 (bar: 0) |")


def test_dvc_agrees(again, effects):
    """A comment is added to a file; `dvc status` names the stages that changed by it."""
    project = Project(again.path)
    assert project.status() == set()
    for file in REAL:
        path = project.path / file
        before = path.read_text()
        path.write_text(f"{before}# edited\n")
        assert project.status() == {"code"}
        project.run("dvc", "repro", "--quiet", "code")
        assert project.status() == set(effects[file].stages), file
        path.write_text(before)
        project.run("dvc", "repro", "--quiet", "code")
