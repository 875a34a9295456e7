"""On random graphs the driver leaves exactly the bytes that plain `dvc repro` leaves."""

import logging
import random
import signal
import time

import pytest
from dvc.exceptions import ReproductionError

from tests.flows.dvc.graphs import Graph, drive_watched
from tests.flows.toy import eventually, with_variable
from tests.support.process import forkserver

EDITS = 2
STAGES = 6
KILLED = 1  # seed of the graph on which the driver is killed

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("dvc").setLevel(logging.ERROR)


def assert_same(ours: Graph, plain: Graph, story: object) -> None:
    assert_files(ours.content(), plain.content(), story)
    assert ours.status() == plain.status(), story


def assert_files(ours: dict[str, bytes], plain: dict[str, bytes], story: object) -> None:
    assert ours.keys() == plain.keys(), story
    different = [name for name in ours if ours[name] != plain[name]]
    assert not different, (story, different)


@pytest.mark.parametrize("seed", range(4))
def test_same_files_as_repro(tmp_path, seed):
    plain = Graph.generate(tmp_path / "plain", seed, STAGES)
    ours = plain.copy(tmp_path / "ours")
    story = []
    for number in range(EDITS + 2):
        if number > EDITS:
            for graph in (plain, ours):
                graph.remove_outputs(fraction=1)
            story.append("outputs removed")
        elif number:
            edits = {graph.edit() for graph in (plain, ours)}
            story += edits
        ran = plain.plain()
        outcomes = ours.driven(delays=seed)
        assert {name for name, what in outcomes.items() if what != "up to date"} == set(ran), story
        assert_same(ours, plain, story)


@pytest.mark.parametrize("seed", [10, 11])
def test_failure_leaves_what_repro_keep_going_leaves(tmp_path, seed):
    plain = Graph.generate(tmp_path / "plain", seed, STAGES)
    ours = plain.copy(tmp_path / "ours")
    broken = random.Random(seed).choice(["s0", "s1", "s2"])
    for graph in (plain, ours):
        graph.break_stage(broken)
    with pytest.raises(ReproductionError):
        plain.plain(on_error="keep-going")
    outcomes = ours.driven(delays=seed)
    assert "failed" in outcomes.values()
    # .gitignore has the outputs of all stages from the start
    for mended in (False, True):
        if mended:
            for graph in (plain, ours):
                graph.mend_stage(broken)
            plain.plain()
            assert not {"failed", "not started"} & set(ours.driven(delays=seed).values())
        files = [
            {name: data for name, data in graph.content().items() if ".gitignore" not in name}
            for graph in (ours, plain)
        ]
        assert_files(*files, (broken, mended))


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Graph:
    """A graph in which nothing has run."""
    return Graph.generate(tmp_path_factory.mktemp("killed") / "graph", KILLED, STAGES)


@pytest.fixture(scope="module")
def reference(graph, tmp_path_factory) -> dict[str, bytes]:
    """Its files after plain `dvc repro`."""
    plain = graph.copy(tmp_path_factory.mktemp("reference") / "graph")
    plain.plain()
    return plain.content()


@pytest.fixture(scope="module")
def driver():
    """Start the driver in another process: `driver(path, count, ...)`, see drive_watched."""
    context = forkserver()

    def start(path, *arguments):
        seen, end = context.Pipe(duplex=False)
        process = context.Process(target=drive_watched, args=(path, end, *arguments))
        process.start()
        end.close()
        return process, seen

    return start


@pytest.fixture(scope="module")
def whole(graph, driver, reference, tmp_path_factory) -> tuple[list, set, float]:
    """What the driver changes if it survives, which files it empties, and the seconds it takes."""
    made = graph.copy(tmp_path_factory.mktemp("whole") / "graph")
    started = time.monotonic()
    process, seen = driver(made.path, 0)
    changes, emptied = seen.recv()
    process.join()
    assert_files(made.content(), reference, "whole")
    return changes, emptied, time.monotonic() - started


def finish(killed: Graph, reference: dict[str, bytes], seed: int, story: object) -> None:
    """Assert that SIGKILL left no process, and that plain `dvc repro` or the driver finishes."""
    eventually(lambda: not with_variable(f"DOOMED={killed.path}"), seconds=10)
    if seed % 2:
        killed.plain()
    else:
        killed.driven()
    assert_files(killed.content(), reference, story)


def test_files_of_dvc_appear_whole(whole):
    """Except for locks, which are empty, files are written beside their place and renamed."""
    _, emptied, _ = whole
    assert {name for name in emptied if not name.endswith((".unfinished", "lock", ".tmp"))} == set()
    assert not {name for name in emptied if name.endswith(("dvc.lock", "rwlock"))}


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_change(graph, reference, driver, whole, tmp_path, seed):
    count = random.Random(seed).randint(1, len(whole[0]))
    killed = graph.copy(tmp_path / "graph")
    process, _ = driver(killed.path, count)
    process.join()
    assert process.exitcode in (-signal.SIGKILL, 0)  # threads: there may be fewer changes
    finish(killed, reference, seed, count)


@pytest.mark.parametrize(
    ("event", "name", "count"),
    [
        ("open", "dvc.lock.unfinished", 4),
        ("os.rename", "dvc.lock", 1),
        ("open", "rwlock.unfinished", 4),
        ("os.rename", "rwlock", 9),
        ("os.", ".dvc/cache/files", 4),
        ("os.", ".dvc/cache/runs", 3),
        ("open", ".gitignore", 2),
        ("subprocess.Popen", "", 4),
    ],
)
def test_killed_while_writing(graph, reference, driver, tmp_path, event, name, count):
    killed = graph.copy(tmp_path / "graph")
    process, _ = driver(killed.path, count, event, name)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    finish(killed, reference, count, (event, name, count))


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_time(graph, reference, driver, whole, tmp_path, seed):
    moment = random.Random(seed).random() * whole[2]
    killed = graph.copy(tmp_path / "graph")
    process, _ = driver(killed.path, 0)
    process.join(moment)
    process.kill()
    process.join()
    finish(killed, reference, seed, moment)
