"""Every script beside the table, on tiny data."""

import pytest

from benchmarks import chaos
from benchmarks.project import Project
from benchmarks.training import read_settings
from tests.support.params import ROOT


def test_unknown_setting_is_refused():
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        read_settings(ROOT, avarage=0.99)


def test_chaos_table_has_a_row_per_kind():
    rounds = [
        chaos.Round(0, "driver", "train", "was killed", "bytes", (), 10.0),
        chaos.Round(5, "driver", "train", "was killed", "order", ("dvc.lock has other order",), 9),
        chaos.Round(1, "stage", "align", "gave up (code 1)", "bytes", (), 8.0),
    ]
    assert list(chaos.table(rounds))[2:] == [
        "| driver | 2 | train 2 | was killed 2 | 1 | dvc.lock has other order 1 |",
        "| stage | 1 | align 1 | gave up (code 1) 1 | 1 | none |",
    ]


def test_fresh_project_has_nothing_but_the_tree(tmp_path):
    project = Project.fresh(tmp_path / "clone", {"train.epochs": 3})
    assert read_settings(project.path).train.epochs == 3
    assert (project.path / "dvc.yaml").read_bytes() == (ROOT / "dvc.yaml").read_bytes()
    assert not (project.path / "models").exists()
    assert "register" in project.status()
