"""DVC driven from one process leaves what plain `dvc repro` leaves."""

import subprocess
import sys
from threading import Thread

import pytest
import yaml

from flows.stages import StageFailed, Stages, UserError

ORDER = ["source", "left", "right", "join", "aside", "report"]
QUIET = {"log": lambda line: None}


def run_all(stages: Stages, order=ORDER) -> dict[str, tuple[str, str]]:
    outcomes = [stages.run(name, **QUIET) for name in order]
    return {outcome.name: (outcome.what, outcome.why) for outcome in outcomes}


def test_plan_is_plain_order_with_dependencies(toy):
    plan = Stages().plan()
    assert [planned.name for planned in plan] == ORDER
    upstream = {planned.name: set(planned.upstream) for planned in plan}
    assert upstream["join"] == {"left", "right"}
    assert upstream["source"] == upstream["aside"] == set()


def test_plan_of_a_target_is_what_it_needs(toy):
    assert [planned.name for planned in Stages().plan(["left"])] == ["source", "left"]


def test_unknown_target_names_the_nearest_stage(toy):
    with pytest.raises(UserError, match="unknown stage 'lefft'; did you mean 'left'"):
        Stages().plan(["lefft"])


def test_broken_dvc_yaml_is_a_user_error(toy):
    (toy.path / "dvc.yaml").write_text("stages: [")
    with pytest.raises(UserError):
        Stages().plan()


def test_outside_a_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="not inside of a DVC repository"):
        Stages()


@pytest.mark.parametrize(
    "order", [ORDER, ["aside", "source", "right", "left", "join", "report"]], ids=["plan", "other"]
)
def test_same_bytes_as_plain_in_any_order_of_completion(toy, reproduced, order):
    stages = Stages()
    stages.plan()
    assert run_all(stages, order) == {name: ("ran", "not run before") for name in ORDER}
    for name, content in toy.tracked().items():
        assert content == (reproduced / name).read_bytes(), name
    toy.assert_nothing_to_do()


def test_new_entries_follow_those_that_were_there(new_toy, template, toy):
    """Plain `dvc repro` appends: a lock that starts with `aside` keeps it first."""
    plain = new_toy(template, "plain")
    for copy in (plain, toy):
        copy.dvc("repro", "-q", "aside")
    plain.dvc("repro", "-q")
    stages = Stages()
    stages.plan()
    run_all(stages, ["source", "right", "left", "join", "aside", "report"])
    assert toy.tracked() == plain.tracked()


def test_nothing_changed(done):
    assert set(run_all(Stages()).values()) == {("up to date", "nothing changed")}
    assert done.ran() == []


def change_params(toy):
    toy.set("0.1", "0.2")


def change_file(toy):
    (toy.path / "source.txt").unlink()
    (toy.path / "source.txt").write_text("else\n")


def remove_output(toy):
    (toy.path / "left" / "a").unlink()
    (toy.path / "left" / "b").unlink()
    (toy.path / "left").rmdir()


def change_command(toy):
    text = (toy.path / "dvc.yaml").read_text()
    (toy.path / "dvc.yaml").write_text(text.replace("sh step.sh left", "sh  step.sh left"))


def forget_stage(toy):
    lock = yaml.safe_load((toy.path / "dvc.lock").read_text())
    del lock["stages"]["left"]
    (toy.path / "dvc.lock").write_text(yaml.safe_dump(lock))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (change_params, "params.yaml: left.rate changed"),
        (change_file, "source.txt changed"),
        (remove_output, "output left missing"),
        (change_command, "changed command"),
        (forget_stage, "not run before"),
    ],
)
def test_why_a_stage_runs(done, change, why):
    change(done)
    outcome = Stages().run("left", **QUIET)
    assert (outcome.what, outcome.why) == ("ran", why)


def test_several_reasons(done):
    done.set("0.1", "0.2")
    remove_output(done)
    assert Stages().run("left", **QUIET).why == (
        "params.yaml: left.rate changed; output left missing"
    )


def test_same_bytes_as_plain_after_a_change_and_only_its_branch_runs(new_toy, reproduced, done):
    plain = new_toy(reproduced, "plain")
    for copy in (plain, done):
        copy.set("0.1", "0.25")
    plain.dvc("repro", "-q")
    stages = Stages()
    stages.plan()
    outcomes = run_all(stages)
    assert done.ran() == ["left", "join"]
    # `join` counts lines, which did not change: `report` reads the count only.
    assert outcomes["report"] == ("up to date", "nothing changed")
    assert done.tracked() == plain.tracked()
    done.assert_nothing_to_do()


def test_run_cache_restores(done):
    done.set("1e-5", "2e-5")
    assert Stages().run("right", **QUIET).what == "ran"
    done.set("2e-5", "1e-5")
    done.ran()
    outcome = Stages().run("right", **QUIET)
    assert (outcome.what, outcome.why) == ("restored", "params.yaml: right.rate changed")
    assert done.ran() == []
    done.assert_nothing_to_do()


def test_missing_uncached_metric_is_restored(done):
    (done.path / "metrics.json").unlink()
    assert Stages().run("join", **QUIET).what == "restored"
    done.assert_nothing_to_do()


def test_force_runs_the_command(done, reproduced):
    assert Stages().run("right", force=True, **QUIET).what == "ran"
    assert done.ran() == ["right"]
    assert (done.path / "dvc.lock").read_bytes() == (reproduced / "dvc.lock").read_bytes()


def test_exit_codes(toy):
    toy.hook("source", "exit 2")
    with pytest.raises(UserError, match="source: exit code 2"):
        Stages().run("source", **QUIET)
    toy.hook("source", "exit 3")
    with pytest.raises(StageFailed, match="source: exit code 3 from: sh step.sh source"):
        Stages().run("source", **QUIET)


def test_missing_dependency_is_a_user_error(toy):
    (toy.path / "raw.txt").unlink()
    with pytest.raises(UserError, match="source: missing dependency raw.txt"):
        Stages().run("source", **QUIET)


def test_missing_parameter_is_a_user_error(done):
    done.set("rate: 0.1", "pace: 0.1")
    with pytest.raises(UserError, match="left.rate"):
        Stages().run("left", **QUIET)


def test_missing_output_is_a_failure(toy):
    toy.hook("source", "exit 0")
    with pytest.raises(StageFailed, match="source.txt"):
        Stages().run("source", **QUIET)
    assert not (toy.path / "dvc.lock").exists()


def test_time_limit(toy):
    toy.hook("source", "sleep 100")
    with pytest.raises(StageFailed, match="source: killed after 0.3 seconds"):
        Stages().run("source", timeout=0.3, **QUIET)


def test_nothing_is_touched_after_stop(done):
    stages = Stages()
    stages.stop()
    with pytest.raises(StageFailed, match="left: not started, the run is stopping"):
        stages.run("left", force=True, **QUIET)
    done.assert_nothing_to_do()


def test_edit_while_the_command_runs_is_seen_by_the_next_run(done):
    (done.path / "raw.txt").write_text("c\n")
    done.hook("source", "sort raw.txt > source.txt; echo d >> raw.txt; exit 0")
    assert Stages().run("source", **QUIET).what == "ran"
    assert "raw.txt" in done.dvc("status", "source")
    (done.hooks / "source").unlink()
    assert Stages().run("source", **QUIET).why == "raw.txt changed"
    assert (done.path / "source.txt").read_text() == "c\nd\n"


def test_plain_repro_keeps_away_from_a_running_stage(done):
    """Two writers of one output would spoil it."""
    done.hook("left", "wait_for go")
    worker = Thread(target=Stages().run, args=("left", True), kwargs=QUIET)
    worker.start()
    try:
        while not (done.hooks / "left.started").exists():
            worker.join(0.02)
        command = [sys.executable, "-m", "dvc", "repro", "-f", "-s", "left"]
        second = subprocess.run(command, check=False, capture_output=True, text=True)
    finally:
        (done.hooks / "go").touch()
        worker.join()
    assert second.returncode != 0
    assert "busy" in second.stderr
    done.assert_nothing_to_do()


@pytest.mark.parametrize("half", ["", '{"write": {"a'])
def test_a_list_of_locks_that_dvc_was_killed_at_is_mended(done, half):
    path = done.path / ".dvc/tmp/rwlock"
    path.write_text(half)
    with pytest.raises(subprocess.CalledProcessError):
        done.dvc("repro", "-q")
    Stages()
    done.assert_nothing_to_do()


def test_a_whole_list_of_locks_is_left_alone(done):
    path = done.path / ".dvc/tmp/rwlock"
    path.write_text('{"write": {}, "read": {}}')
    Stages()
    assert path.read_text() == '{"write": {}, "read": {}}'


def test_data_added_with_dvc_is_a_stage_too(new_toy, template, toy):
    plain = new_toy(template, "plain")
    for copy in (plain, toy):
        copy.dvc("add", "-q", "raw.txt")
        (copy.path / "raw.txt").write_text("changed\n")
    plain.dvc("repro", "-q")
    stages = Stages()
    plan = [planned.name for planned in stages.plan()]
    assert plan[0] == "raw.txt.dvc"
    assert run_all(stages, plan)["raw.txt.dvc"] == ("ran", "output raw.txt changed")
    assert toy.tracked() == plain.tracked()
    assert (toy.path / "raw.txt.dvc").read_bytes() == (plain.path / "raw.txt.dvc").read_bytes()
