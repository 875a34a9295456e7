"""The Prefect flow: order, overlap, failures, retries, signals and exit codes."""

import asyncio
import ctypes
import signal
import socket
import time
from pathlib import Path

import pytest
import yaml

from tests.flows.registry import EVERY_STORE
from tests.flows.toy import LINGER, ORDER, finish, wait_for

ALL = set(ORDER)
MODULE = ("-m", "flows.pipeline")


@pytest.fixture
def main():
    """Call the shell's entry in this process."""
    from flows.pipeline import main

    handler = signal.getsignal(signal.SIGINT)
    yield lambda *arguments: main(list(arguments))
    signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("database", EVERY_STORE, indirect=True)
def test_overlapping_stages_leave_bytes_of_repro(toy, reproduced, run):
    toy.hook("left", "wait_for right.started; wait_for right.done")
    toy.hook("right", "wait_for left.started")
    state, outcomes = run()
    assert state.is_completed()
    assert outcomes == {name: ("ran", "not run before") for name in ALL}
    for name, content in toy.tracked().items():
        assert content == (reproduced / name).read_bytes(), name
    toy.assert_nothing_to_do()


def test_workers_limit_concurrency(toy, run):
    only_one = 'mkdir "$TOY_HOOKS/busy"; sleep 0.2; rmdir "$TOY_HOOKS/busy"'
    for name in ALL:
        toy.hook(name, only_one)
    assert run(workers=1)[0].is_completed()


def test_only_changed_branch_runs(done, run):
    done.set("1e-5", "3e-5")
    state, outcomes = run()
    assert done.ran() == ["right", "join"]
    assert outcomes["right"] == ("ran", "params.yaml: right.rate changed")
    assert outcomes["join"] == ("ran", "right.txt changed")
    assert {name for name, (what, _) in outcomes.items() if what == "up to date"} == {
        "source", "left", "aside", "report",
    }  # fmt: skip
    assert state.message == "4 up to date, 2 ran"


def test_restored_output_is_reported(done, run):
    (done.path / "right.txt").unlink()
    outcomes = run(targets=["right"])[1]
    assert outcomes["right"] == ("restored", "output right.txt missing")
    assert done.ran() == []


def test_force_runs_everything(done, run):
    assert set(run(force=True)[1].values()) == {("ran", "forced")}
    assert set(done.ran()) == ALL
    done.assert_nothing_to_do()


def test_failure_stops_only_dependents(toy, run):
    toy.hook("left", "wait_for right.started; exit 5")
    toy.hook("right", "sleep 0.5")
    state, outcomes = run()
    assert state.is_failed() and state.name == "Failed"
    assert outcomes["left"] == ("failed", "left: exit code 5 from: sh step.sh left")
    assert outcomes["right"] == outcomes["aside"] == ("ran", "not run before")
    assert outcomes["join"] == ("not started", "needs left")
    assert outcomes["report"] == ("not started", "needs join")
    assert set(toy.ran()) == {"source", "left", "right", "aside"}


def test_transient_failure_is_retried(toy, run):
    toy.hook("source", '[ -e "$TOY_HOOKS/tried" ] || { touch "$TOY_HOOKS/tried"; exit 75; }')
    state, _ = run(targets=["source"], retries=2, retry_seconds=0.1)
    assert state.is_completed()
    assert toy.ran() == ["source", "source"]


def test_permanent_failure_is_not_retried(toy, run):
    toy.hook("source", "exit 1")
    state, _ = run(targets=["source"], retries=2, retry_seconds=0.1)
    assert state.is_failed() and state.name == "Failed"
    assert toy.ran() == ["source"]


def test_mistake_is_not_retried(toy, run):
    toy.hook("source", "exit 2")
    state, outcomes = run(targets=["left"], retries=3)
    assert state.is_failed() and state.name == "Invalid"
    assert outcomes["source"] == ("invalid", "source: exit code 2, see what it printed")
    assert toy.ran() == ["source"]


def test_unknown_target_is_invalid(toy, run):
    state, outcomes = run(targets=["jion"])
    assert state.is_failed() and state.name == "Invalid"
    assert "Did you mean 'join'" in state.message
    assert outcomes == {}


def test_target_is_no_file_and_no_stage_of_another_folder(toy, run):
    (toy.path / "sub").mkdir()
    stage = {"cmd": "touch made", "outs": ["made"]}
    (toy.path / "sub" / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": stage}}))
    for target in ("sub/dvc.yaml", "sub/dvc.yaml:make", "sub", "make", "dvc.yaml", "raw.txt", ""):
        state, _ = run(targets=[target])
        assert state.name == "Invalid"
        assert f"unknown stage {target!r}" in state.message and "Valid here: aside" in state.message
    assert toy.ran() == [] and not (toy.path / "sub" / "made").exists()


def test_time_limit_kills_stage(toy, run):
    toy.hook("source", "sleep 100")
    outcomes = run(targets=["source"], stage_timeout_seconds=0.5)[1]
    assert outcomes["source"] == ("failed", "source: killed after 0.5 seconds")
    toy.assert_none_alive()


def test_outputs_are_pushed(toy, run, tmp_path):
    toy.dvc("remote", "add", "-q", "--default", "far", str(tmp_path / "far"))
    state, _ = run(push=True)
    assert state.is_completed()
    pushed = [path for path in (tmp_path / "far" / "files").rglob("*") if path.is_file()]
    assert pushed
    assert state.message == f"6 ran; {len(pushed)} files pushed"


def test_push_without_remote_runs_nothing(toy, run):
    state, outcomes = run(push=True)
    assert (state.name, outcomes) == ("Invalid", {})
    assert "DVC has no default remote" in state.message
    assert toy.ran() == []


def test_stages_are_tasks_with_reasons_and_output(done, run):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import LogFilter, TaskRunFilter
    from prefect.client.schemas.sorting import LogSort, TaskRunSort
    from prefect.logging.handlers import APILogWorker

    done.set("1e-5", "4e-5")
    done.hook("right", "echo hello from right")
    state, _ = run(targets=["right"])
    flow_run = state.state_details.flow_run_id
    APILogWorker.instance().drain()

    async def ask():
        async with get_client() as client:
            of_run = {"flow_run_id": {"any_": [flow_run]}}
            for _ in range(50):  # task runs reach the server as events
                tasks = await client.read_task_runs(
                    task_run_filter=TaskRunFilter(**of_run), sort=TaskRunSort.NAME_ASC, limit=10
                )
                if len(tasks) == 2 and all(task.state.is_final() for task in tasks):
                    break
                await asyncio.sleep(0.1)
            logs = await client.read_logs(
                LogFilter(**of_run), sort=LogSort.TIMESTAMP_ASC, limit=100, offset=0
            )
            return {task.name: task.state for task in tasks}, [log.message for log in logs]

    states, messages = asyncio.run(ask())
    assert (states["source"].name, states["source"].message) == ("Up to date", "nothing changed")
    assert (states["right"].name, states["right"].message) == (
        "Ran", "params.yaml: right.rate changed",
    )  # fmt: skip
    assert "hello from right" in messages


def test_main_prints_a_table(done, main, prefect_api, caplog):
    done.set("1e-5", "5e-5")
    assert main("--workers", "2") == 0
    rows = {line.split()[0]: line for line in caplog.text.splitlines() if line.startswith("  ")}
    assert "up to date" in rows["left"]
    assert " ran " in rows["right"] and rows["right"].endswith("params.yaml: right.rate changed")


def test_main_suggests_nearest_target(toy, main, prefect_api, capfd):
    assert main("--target", "lefft") == 2
    output = "".join(capfd.readouterr())
    assert "Did you mean 'left'" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(("stage_code", "code"), [(2, 2), (7, 1)])
def test_main_exit_code_is_kind_of_failure(toy, main, prefect_api, caplog, stage_code, code):
    toy.hook("source", f"echo what to change; exit {stage_code}")
    assert main("--target", "source", "--timeout", "60") == code
    assert "what to change" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_refused_login_is_a_mistake(toy, prefect_api):
    process = toy.start(*MODULE, PREFECT_API_AUTH_STRING="admin:else")
    assert_ended(toy, process, 2, "Set PREFECT_API_AUTH_STRING")


def test_absent_server_may_pass(toy, prefect_api):
    with socket.create_server(("127.0.0.1", 0)) as free:
        api = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    assert_ended(toy, toy.start(*MODULE, PREFECT_API_URL=api), 75, "try again")


def assert_ended(toy, process, code: int, message: str) -> None:
    """Assert that a process ended with a code and a message, and that nothing ran."""
    found, output = finish(process)
    assert (found, message in output, "Traceback" in output) == (code, True, False), output
    assert toy.ran() == []


@pytest.mark.parametrize(
    "argument",
    ["--workers=0", "--timeout=-1", "--retry-seconds=0", "--retries=-1", "--retries=x"],
)
def test_main_refuses_bad_numbers(toy, main, argument):
    with pytest.raises(SystemExit) as stop:
        main(argument)
    assert stop.value.code == 2


def test_main_help(main, capfd):
    with pytest.raises(SystemExit) as stop:
        main("--help")
    assert stop.value.code == 0
    assert "--retries" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "thread"), [("SIGINT", "main"), ("SIGINT", "other"), ("SIGTERM", "other")]
)
def test_signal_ends_stages_without_retry(toy, reproduced, prefect_api, name, thread):
    toy.hook("source", LINGER)
    process = toy.start(*MODULE, "--target", "left", "--retries", "3")
    wait_for(toy.hooks / "source.started")
    if thread == "other":  # the kernel may choose any, or main just before it falls asleep
        time.sleep(1)
    threads = {int(entry.name) for entry in Path(f"/proc/{process.pid}/task").iterdir()}
    chosen = process.pid if thread == "main" else max(threads - {process.pid})
    assert ctypes.CDLL(None).tgkill(process.pid, chosen, getattr(signal, name)) == 0
    code, _ = finish(process)
    assert code != 0
    toy.assert_none_alive()
    assert toy.ran() == ["source"]
    toy.reproduce()
    assert toy.tracked()["dvc.lock"] == (reproduced / "dvc.lock").read_bytes()


def test_killed_flow_is_finished_by_repro(toy, reproduced, prefect_api):
    toy.hook("left", "sleep 1000 & mkdir left; echo half > left/a; wait_for never")
    process = toy.start(*MODULE, "--workers", "4")
    wait_for(toy.hooks / "left.started")
    wait_for(toy.hooks / "right.done")
    process.kill()
    finish(process)
    toy.assert_none_alive()
    toy.reproduce()
    assert toy.tracked() == {name: (reproduced / name).read_bytes() for name in toy.tracked()}
    assert (toy.path / "left" / "a").read_bytes() == (reproduced / "left" / "a").read_bytes()
    toy.assert_nothing_to_do()
