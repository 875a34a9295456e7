"""`python -m flows.explain`: which stages will run, and why."""

import pytest
from dvc.dvcfile import Lockfile

from flows.dvc.stages import Stages
from flows.explain import explain, main
from tests.flows.toy import ORDER


def test_unchanged_project_has_nothing_to_do(done, capsys):
    assert explain(Stages()) == {}
    main([])
    assert capsys.readouterr().out == "nothing to do: every stage is up to date\n"


def test_new_project_runs_every_stage(toy):
    assert explain(Stages()) == dict.fromkeys(ORDER, "not run before")


def test_dependents_of_changed_stage_may_run(done):
    done.set("1e-5", "3e-5")
    assert explain(Stages()) == {
        "right": "params.yaml: right.rate changed",
        "join": "if right changes its output",
        "report": "if join changes its output",
    }


def test_every_upstream_is_named(done):
    done.set("1e-5", "3e-5")
    done.set("0.1", "0.2")
    assert explain(Stages())["join"] == "if left or right changes its output"


def test_own_reason_comes_before_that_of_upstream(done):
    done.set("1e-5", "3e-5")
    (done.path / "model.txt").unlink()
    assert explain(Stages())["join"] == "output model.txt missing"


def test_explaining_runs_and_writes_nothing(done):
    done.set("1e-5", "3e-5")
    before = done.tracked()
    explain(Stages())
    assert done.ran() == [] and done.tracked() == before


def test_lock_is_not_read_per_stage(done, monkeypatch):
    """Reading that of the shipped pipeline takes tenths of a second."""
    reads, load = [], Lockfile.load
    monkeypatch.setattr(Lockfile, "load", lambda *words: reads.append(words) or load(*words))
    explain(Stages())
    assert 1 <= len(reads) <= 2


def test_lines_are_aligned(done, capsys):
    done.set("1e-5", "3e-5")
    main([])
    assert capsys.readouterr().out.splitlines() == [
        "  right   params.yaml: right.rate changed",
        "  join    if right changes its output",
        "  report  if join changes its output",
    ]


def test_broken_dvc_yaml_is_refused(toy, capsys):
    (toy.path / "dvc.yaml").write_text("stages: [")
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_outside_of_project_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    assert "not inside of a DVC repository" in capsys.readouterr().err
