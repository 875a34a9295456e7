"""The Prefect flow: order, overlap, failures, retries, signals and exit codes."""

import asyncio
import ctypes
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.flows.conftest import assert_none_alive, finish, wait_for

ALL = {"source", "left", "right", "join", "aside", "report"}


@pytest.fixture
def main():
    """The shell's entry, in this process."""
    from flows.pipeline import main

    handler = signal.getsignal(signal.SIGINT)
    yield lambda *arguments: main(list(arguments))
    signal.signal(signal.SIGINT, handler)


def test_independent_stages_overlap_and_leave_what_plain_repro_leaves(toy, reproduced, run):
    toy.hook("left", "wait_for right.started; wait_for right.done")
    toy.hook("right", "wait_for left.started")
    state, outcomes = run()
    assert state.is_completed()
    assert outcomes == {name: ("ran", "not run before") for name in ALL}
    for name, content in toy.tracked().items():
        assert content == (reproduced / name).read_bytes(), name
    toy.assert_nothing_to_do()


def test_workers_limits_what_runs_side_by_side(toy, run):
    only_one = 'mkdir "$TOY_HOOKS/busy"; sleep 0.2; rmdir "$TOY_HOOKS/busy"'
    for name in ALL:
        toy.hook(name, only_one)
    assert run(workers=1)[0].is_completed()


def test_only_the_changed_branch_runs(done, run):
    done.set("1e-5", "3e-5")
    state, outcomes = run()
    assert done.ran() == ["right", "join"]
    assert outcomes["right"] == ("ran", "params.yaml: right.rate changed")
    assert outcomes["join"] == ("ran", "right.txt changed")
    assert {name for name, (what, _) in outcomes.items() if what == "up to date"} == {
        "source", "left", "aside", "report",
    }  # fmt: skip
    assert state.message == "4 up to date, 2 ran"


def test_run_cache_is_reported(done, run):
    (done.path / "right.txt").unlink()
    outcomes = run(targets=["right"])[1]
    assert outcomes["right"] == ("restored", "output right.txt missing")
    assert done.ran() == []


def test_force(done, run):
    assert set(run(force=True)[1].values()) == {("ran", "forced")}
    assert set(done.ran()) == ALL
    done.assert_nothing_to_do()


def test_failure_stops_what_depends_on_it_and_nothing_else(toy, run):
    toy.hook("left", "wait_for right.started; exit 5")
    toy.hook("right", "sleep 0.5")
    state, outcomes = run()
    assert state.is_failed() and state.name == "Failed"
    assert outcomes["left"] == ("failed", "left: exit code 5 from: sh step.sh left")
    assert outcomes["right"] == outcomes["aside"] == ("ran", "not run before")
    assert outcomes["join"] == ("not started", "needs left")
    assert outcomes["report"] == ("not started", "needs join")
    assert set(toy.ran()) == {"source", "left", "right", "aside"}


def test_retry_mends_a_passing_failure(toy, run):
    toy.hook("source", '[ -e "$TOY_HOOKS/tried" ] || { touch "$TOY_HOOKS/tried"; exit 75; }')
    state, _ = run(targets=["source"], retries=2, retry_seconds=0.1)
    assert state.is_completed()
    assert toy.ran() == ["source", "source"]


def test_what_will_not_pass_is_not_tried_again(toy, run):
    toy.hook("source", "exit 1")
    state, _ = run(targets=["source"], retries=2, retry_seconds=0.1)
    assert state.is_failed() and state.name == "Failed"
    assert toy.ran() == ["source"]


def test_a_users_mistake_is_not_tried_again(toy, run):
    toy.hook("source", "exit 2")
    state, outcomes = run(targets=["left"], retries=3)
    assert state.is_failed() and state.name == "Invalid"
    assert outcomes["source"] == ("invalid", "source: exit code 2, see what it printed")
    assert toy.ran() == ["source"]


def test_unknown_target_of_a_deployed_flow(toy, run):
    state, outcomes = run(targets=["jion"])
    assert state.is_failed() and state.name == "Invalid"
    assert "did you mean 'join'" in state.message
    assert outcomes == {}


def test_time_limit(toy, run):
    toy.hook("source", "sleep 100")
    outcomes = run(targets=["source"], stage_timeout_seconds=0.5)[1]
    assert outcomes["source"] == ("failed", "source: killed after 0.5 seconds")
    assert_none_alive(toy)


def test_outputs_are_pushed_to_the_remote(toy, run, tmp_path):
    toy.dvc("remote", "add", "-q", "--default", "far", str(tmp_path / "far"))
    state, _ = run(push=True)
    assert state.is_completed()
    pushed = [path for path in (tmp_path / "far" / "files").rglob("*") if path.is_file()]
    assert pushed
    assert state.message == f"6 ran; {len(pushed)} files pushed"


def test_without_a_remote_to_push_to_nothing_runs(toy, run):
    state, outcomes = run(push=True)
    assert (state.name, outcomes) == ("Invalid", {})
    assert "DVC has no default remote" in state.message
    assert toy.ran() == []


def test_prefect_shows_stages_as_tasks_with_reasons_and_output(done, run):
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


def test_main_unknown_target(toy, main, prefect_api, capfd):
    assert main("--target", "lefft") == 2
    output = "".join(capfd.readouterr())
    assert "did you mean 'left'" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(("stage_code", "code"), [(2, 2), (7, 1)])
def test_main_exit_code(toy, main, prefect_api, caplog, stage_code, code):
    toy.hook("source", f"echo what to mend; exit {stage_code}")
    assert main("--target", "source", "--timeout", "60") == code
    assert "what to mend" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_server_that_refuses_the_login(toy, shell):
    refused(toy, shell(PREFECT_API_AUTH_STRING="admin:else"), 2, "Set PREFECT_API_AUTH_STRING")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_server_that_is_not_there(toy, shell):
    with socket.create_server(("127.0.0.1", 0)) as free:
        api = f"http://127.0.0.1:{free.getsockname()[1]}/api"
    refused(toy, shell(PREFECT_API_URL=api), 75, "try again")


def refused(toy, process, code: int, message: str) -> None:
    """It ended with a code and a message, and nothing ran."""
    found, output = finish(process)
    assert (found, message in output, "Traceback" in output) == (code, True, False), output
    assert toy.ran() == []


@pytest.mark.parametrize(
    "argument",
    ["--workers=0", "--timeout=-1", "--retry-seconds=0", "--retries=-1", "--retries=x"],
)
def test_main_bad_argument(toy, main, argument):
    with pytest.raises(SystemExit) as stop:
        main(argument)
    assert stop.value.code == 2


def test_main_help(main, capfd):
    with pytest.raises(SystemExit) as stop:
        main("--help")
    assert stop.value.code == 0
    assert "--retries" in capfd.readouterr().out


@pytest.mark.parametrize("thread", ["main", "other"])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_signal_leaves_no_stage_alive_and_no_retry(toy, reproduced, shell, name, thread):
    toy.hook("source", "sleep 1000 & wait_for never")
    process = shell("--target", "left", "--retries", "3")
    wait_for(toy.hooks / "source.started")
    if thread == "other":  # the kernel may choose any, or choose main just before it falls asleep
        time.sleep(1)
    threads = {int(entry.name) for entry in Path(f"/proc/{process.pid}/task").iterdir()}
    chosen = process.pid if thread == "main" else max(threads - {process.pid})
    assert ctypes.CDLL(None).tgkill(process.pid, chosen, getattr(signal, name)) == 0
    code, _ = finish(process)
    assert code != 0
    assert_none_alive(toy)
    assert toy.ran() == ["source"]
    toy.dvc("repro", "-q")
    assert toy.tracked()["dvc.lock"] == (reproduced / "dvc.lock").read_bytes()


def test_kill_leaves_what_plain_repro_finishes(toy, reproduced, shell):
    toy.hook("left", "sleep 1000 & mkdir left; echo half > left/a; wait_for never")
    process = shell("--workers", "4")
    wait_for(toy.hooks / "left.started")
    wait_for(toy.hooks / "right.done")
    process.kill()
    finish(process)
    assert_none_alive(toy)
    toy.dvc("repro", "-q")
    assert toy.tracked() == {name: (reproduced / name).read_bytes() for name in toy.tracked()}
    assert (toy.path / "left" / "a").read_bytes() == (reproduced / "left" / "a").read_bytes()
    toy.assert_nothing_to_do()
