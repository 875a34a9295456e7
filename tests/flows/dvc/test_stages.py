"""DVC's stages, driven from one process, leave what plain `dvc repro` leaves."""

import json
import os
import shutil
import subprocess
import sys
from threading import Thread

import pytest
import yaml

from components.common.errors import InputError
from flows.dvc.stages import StageFailed, Stages
from tests.flows.toy import ORDER, Toy

pytestmark = pytest.mark.slow  # runs whole pipelines, if only of shell commands
QUIET = {"log": lambda line: None}


def run_all(stages: Stages, order=ORDER) -> dict[str, tuple[str, str]]:
    outcomes = [stages.run(name, **QUIET) for name in order]
    return {outcome.name: (outcome.what, outcome.why) for outcome in outcomes}


def test_plan_has_order_of_repro(toy):
    plan = Stages().plan()
    assert [planned.name for planned in plan] == list(ORDER)
    upstream = {planned.name: set(planned.upstream) for planned in plan}
    assert upstream["join"] == {"left", "right"}
    assert upstream["source"] == upstream["aside"] == set()


def test_plan_of_target_is_what_it_needs(toy):
    assert [planned.name for planned in Stages().plan(["left"])] == ["source", "left"]


def test_unknown_target_suggests_nearest(toy):
    with pytest.raises(InputError, match="unknown stage 'lefft'. Did you mean 'left'"):
        Stages().plan(["lefft"])


def test_broken_dvc_yaml_is_refused(toy):
    (toy.path / "dvc.yaml").write_text("stages: [")
    with pytest.raises(InputError):
        Stages().plan()


def test_outside_of_project_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="not inside of a DVC repository"):
        Stages()


@pytest.mark.parametrize(
    "order", [ORDER, ["aside", "source", "right", "left", "join", "report"]], ids=["plan", "other"]
)
def test_any_order_leaves_bytes_of_repro(toy, reproduced, order):
    stages = Stages()
    stages.plan()
    assert run_all(stages, order) == {name: ("ran", "not run before") for name in ORDER}
    for name, content in toy.tracked().items():
        assert content == (reproduced / name).read_bytes(), name
    toy.assert_nothing_to_do()


def test_new_entries_follow_existing_ones(new_toy, template, toy):
    """Plain `dvc repro` appends: a lock that starts with `aside` keeps it first."""
    plain = new_toy(template, "plain")
    for copy in (plain, toy):
        copy.reproduce("aside")
    plain.reproduce()
    stages = Stages()
    stages.plan()
    run_all(stages, ["source", "right", "left", "join", "aside", "report"])
    assert toy.tracked() == plain.tracked()


def test_nothing_changed_nothing_runs(done):
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
def test_reason_is_named(done, change, why):
    change(done)
    outcome = Stages().run("left", **QUIET)
    assert (outcome.what, outcome.why) == ("ran", why)


def test_several_reasons_are_named(done):
    done.set("0.1", "0.2")
    remove_output(done)
    assert Stages().run("left", **QUIET).why == (
        "params.yaml: left.rate changed; output left missing"
    )


def test_change_runs_its_branch_only(new_toy, reproduced, done):
    plain = new_toy(reproduced, "plain")
    for copy in (plain, done):
        copy.set("0.1", "0.25")
    plain.reproduce()
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


def test_force_runs_command(done, reproduced):
    assert Stages().run("right", force=True, **QUIET).what == "ran"
    assert done.ran() == ["right"]
    assert (done.path / "dvc.lock").read_bytes() == (reproduced / "dvc.lock").read_bytes()


def test_exit_code_decides_kind_of_error(toy):
    toy.hook("source", "exit 2")
    with pytest.raises(InputError, match="source: exit code 2"):
        Stages().run("source", **QUIET)
    toy.hook("source", "exit 3")
    with pytest.raises(StageFailed, match="source: exit code 3 from: sh step.sh source"):
        Stages().run("source", **QUIET)


def test_missing_dependency_is_refused(toy):
    (toy.path / "raw.txt").unlink()
    with pytest.raises(InputError, match="source: missing dependency raw.txt"):
        Stages().run("source", **QUIET)


def test_missing_parameter_is_refused(done):
    done.set("rate: 0.1", "pace: 0.1")
    with pytest.raises(InputError, match="left.rate"):
        Stages().run("left", **QUIET)


def test_missing_output_fails(toy):
    toy.hook("source", "exit 0")
    with pytest.raises(StageFailed, match="source.txt"):
        Stages().run("source", **QUIET)
    assert not (toy.path / "dvc.lock").exists()


def test_time_limit_kills_command(toy):
    toy.hook("source", "sleep 100")
    with pytest.raises(StageFailed, match="source: killed after 0.3 seconds"):
        Stages().run("source", timeout=0.3, **QUIET)


def test_nothing_starts_after_stop(done):
    stages = Stages()
    stages.stop()
    with pytest.raises(StageFailed, match="left: not started, the run is stopping"):
        stages.run("left", force=True, **QUIET)
    done.assert_nothing_to_do()


def test_edit_during_command_is_seen_by_next_run(done):
    (done.path / "raw.txt").write_text("c\n")
    done.hook("source", "sort raw.txt > source.txt; echo d >> raw.txt; exit 0")
    assert Stages().run("source", **QUIET).what == "ran"
    assert "raw.txt" in done.dvc("status", "source")
    (done.hooks / "source").unlink()
    assert Stages().run("source", **QUIET).why == "raw.txt changed"
    assert (done.path / "source.txt").read_text() == "c\nd\n"


def test_repro_refuses_running_stage(done):
    """Two writers of one output would corrupt it."""
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
def test_partial_rwlock_is_removed(done, half):
    path = done.path / ".dvc/tmp/rwlock"
    path.write_text(half)
    with pytest.raises(subprocess.CalledProcessError):
        done.dvc("repro", "-q")
    Stages()
    done.assert_nothing_to_do()


def test_whole_rwlock_is_kept(done):
    path = done.path / ".dvc/tmp/rwlock"
    path.write_text('{"write": {}, "read": {}}')
    Stages()
    assert path.read_text() == '{"write": {}, "read": {}}'


def test_added_data_is_a_stage(new_toy, template, toy):
    plain = new_toy(template, "plain")
    for copy in (plain, toy):
        copy.add("raw.txt")
        (copy.path / "raw.txt").write_text("changed\n")
    plain.reproduce()
    stages = Stages()
    plan = [planned.name for planned in stages.plan()]
    assert plan[0] == "raw.txt.dvc"
    assert run_all(stages, plan)["raw.txt.dvc"] == ("ran", "output raw.txt changed")
    assert toy.tracked() == plain.tracked()
    assert (toy.path / "raw.txt.dvc").read_bytes() == (plain.path / "raw.txt.dvc").read_bytes()


FILL = "head -c 600000 /dev/zero"
WAY_OUT = "Free space there or make it writable, then run again"


def finish_like_plain(toy, reproduced):
    """After the fault, and with the real commands, the run ends as if there had been none."""
    for hook in toy.hooks.iterdir():
        hook.unlink()
    stages = Stages()
    stages.plan()
    run_all(stages)
    assert toy.tracked() == {name: (reproduced / name).read_bytes() for name in toy.tracked()}
    toy.assert_nothing_to_do()


@pytest.mark.parametrize(
    ("stage", "script"),
    [
        ("aside", f"{FILL} > aside.txt; exit 0"),
        ("left", f"mkdir left; {FILL} > left/a; exit 0"),  # DVC itself would go on
    ],
)
def test_full_cache_fails_and_recovers(toy, reproduced, mount, stage, script):
    mount(toy.path / ".dvc" / "cache", "size=300k")
    toy.hook(stage, script)
    stages = Stages()
    stages.plan()
    stages.run("source", **QUIET)
    before = (toy.path / "dvc.lock").read_bytes()
    with pytest.raises(StageFailed) as failure:
        stages.run(stage, **QUIET)
    assert str(failure.value).startswith(f"{stage}: ")
    assert str(toy.path / ".dvc/cache") in str(failure.value)
    assert WAY_OUT in str(failure.value)
    assert not failure.value.may_pass
    assert (toy.path / "dvc.lock").read_bytes() == before
    finish_like_plain(toy, reproduced)


def test_full_disk_leaves_earlier_state(tmp_path, template, reproduced, mount, monkeypatch):
    mount(tmp_path / "disk", "size=4m")
    toy = Toy(tmp_path / "disk" / "toy", tmp_path / "hooks")
    shutil.copytree(template, toy.path, symlinks=True)
    monkeypatch.chdir(toy.path)
    monkeypatch.setenv("TOY_HOOKS", str(toy.hooks))
    stages = Stages()
    stages.plan()
    stages.run("source", **QUIET)
    before = (toy.path / "dvc.lock").read_bytes()
    with open("filler", "wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
        while True:
            filler.write(bytes(4096))
    for name in ("left", "right", "aside"):
        with pytest.raises(StageFailed, match=f"No space left on device: .*{WAY_OUT}"):
            stages.run(name, **QUIET)
    assert (toy.path / "dvc.lock").read_bytes() == before
    (toy.path / "filler").unlink()
    assert toy.dvc("status", "source") == "Data and pipelines are up to date.\n"
    finish_like_plain(toy, reproduced)


def test_read_only_cache_fails_before_command(toy, reproduced, mount):
    mount(toy.path / ".dvc" / "cache", "size=4m")
    stages = Stages()
    stages.plan()
    stages.run("source", **QUIET)
    toy.ran()
    mount(toy.path / ".dvc" / "cache", "ro")
    assert stages.run("source", **QUIET).what == "up to date"
    with pytest.raises(StageFailed, match=f"left: cannot write into the cache: .*{WAY_OUT}"):
        stages.run("left", **QUIET)
    assert toy.ran() == []
    mount(toy.path / ".dvc" / "cache", "rw")
    finish_like_plain(toy, reproduced)


@pytest.mark.parametrize(("code", "may_pass"), [(os.EX_TEMPFAIL, True), (1, False)])
def test_exit_code_says_whether_failure_may_pass(toy, code, may_pass):
    toy.hook("source", f"exit {code}")
    with pytest.raises(StageFailed) as failure:
        Stages().run("source", **QUIET)
    assert failure.value.may_pass is may_pass


def test_busy_files_may_pass(toy):
    holder = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    theirs = {"pid": holder.pid, "cmd": "dvc repro"}
    listed = {"write": {str(toy.path / "source.txt"): theirs}, "read": {}}
    (toy.path / ".dvc/tmp/rwlock").write_text(json.dumps(listed))
    try:
        with pytest.raises(StageFailed, match="busy") as failure:
            Stages().run("source", **QUIET)
    finally:
        holder.communicate(b"\n")
    assert failure.value.may_pass
    assert Stages().run("source", **QUIET).what == "ran"


def test_shared_dependency_is_reserved_until_last_reader_ends(done):
    done.hook("left", "wait_for go-left")
    done.hook("right", "wait_for go-right")
    stages = Stages(workers=2)
    workers = {
        name: Thread(target=stages.run, args=(name, True), kwargs=QUIET)
        for name in ("left", "right")
    }
    try:
        for name, worker in workers.items():
            worker.start()
            while not (done.hooks / f"{name}.started").exists():
                worker.join(0.02)
        (done.hooks / "go-left").touch()
        workers["left"].join()
        command = [sys.executable, "-m", "dvc", "repro", "-f", "-s", "source"]
        second = subprocess.run(command, check=False, capture_output=True, text=True)
    finally:
        (done.hooks / "go-right").touch()
        workers["right"].join()
    assert second.returncode != 0
    assert "busy" in second.stderr
    assert not any(json.loads((done.path / ".dvc/tmp/rwlock").read_text()).values())
    done.assert_nothing_to_do()


def test_new_entry_waits_for_earlier_ones(toy):
    """It is written with them, or when nothing more can come."""
    stages = Stages()
    stages.plan()
    stages.run("aside", **QUIET)
    assert not (toy.path / "dvc.lock").exists()
    stages.run("source", **QUIET)
    assert toy.entries() == ["source"]
    toy.hook("left", "exit 1")
    with pytest.raises(StageFailed):
        stages.run("left", **QUIET)
    assert toy.entries() == ["source"]  # `right` may still come
    stages.stop()
    assert toy.entries() == ["source", "aside"]


def test_entry_of_another_process_is_not_awaited(toy):
    stages = Stages()
    stages.plan()
    stages.run("aside", **QUIET)
    toy.reproduce("join")
    for name in ("source", "left", "right", "join"):
        assert stages.run(name, **QUIET).what == "up to date"
    assert toy.entries() == ["source", "left", "right", "join", "aside"]
