"""A toy DVC project, and the flow on it."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from dvc.repo import Repo

from tests.servers import set_variables
from tests.shrunk import ROOT

DVC_YAML = """\
stages:
  join:
    cmd: sh step.sh join
    deps: [left, right.txt, step.sh]
    outs: [model.txt]
    metrics: [{metrics.json: {cache: false}}]
  left:
    cmd: sh step.sh left
    deps: [source.txt, step.sh]
    params: [left.rate]
    outs: [{left: {persist: true}}]
  right:
    cmd: sh step.sh right
    deps: [source.txt, step.sh]
    params: [right.rate]
    outs: [right.txt]
  source:
    cmd: sh step.sh source
    deps: [raw.txt, step.sh]
    outs: [source.txt]
  aside:
    cmd:
      - sh step.sh aside
      - >-
        echo "a line which is longer than what fits on a line of YAML's own width: é, 'x'" #
        >> aside.txt
      - |
        echo "of more"
        echo than one line
    deps: [raw.txt, step.sh]
    params: [odd]
    outs: [aside.txt]
  report:
    cmd: sh step.sh report
    deps: [metrics.json, aside.txt, step.sh]
    outs: [report.txt]
"""

# A stage first obeys $TOY_HOOKS/<stage>, so that a test can make it wait, fail or linger.
STEP = """\
set -e
stage=$1
wait_for() { until [ -e "$TOY_HOOKS/$1" ]; do sleep 0.02; done; }
if [ -n "$TOY_HOOKS" ]; then
  echo "$stage" >> "$TOY_HOOKS/ran"
  touch "$TOY_HOOKS/$stage.started"
  if [ -e "$TOY_HOOKS/$stage" ]; then . "$TOY_HOOKS/$stage"; fi
fi
rate() { grep -A1 "^$1:" params.yaml | tail -n 1; }
case $stage in
  source) sort raw.txt > source.txt ;;
  left) mkdir -p left; cp source.txt left/a; rate left > left/b ;;
  right) { cat source.txt; rate right; } > right.txt ;;
  join) cat left/a left/b right.txt > model.txt; echo "{\\"lines\\": $(wc -l < model.txt)}" \\
        > metrics.json ;;
  aside) echo aside > aside.txt ;;
  report) cat metrics.json aside.txt > report.txt ;;
esac
if [ -n "$TOY_HOOKS" ]; then touch "$TOY_HOOKS/$stage.done"; fi
"""

PARAMS = """\
left:
  rate: 0.1
right:
  rate: 1e-5
odd: {list: [1, 2.50, "yes", {a: 1e6}], text: "a: b # c", none: null, "no": "012", word: "é\\n"}
"""


@pytest.fixture
def prefect_api(database, request, monkeypatch):
    """The URL of a Prefect server: this process and those that it starts are its clients."""
    from prefect.events.worker import EventsWorker
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    if database == "sqlite":
        environment = {"PREFECT_API_URL": request.getfixturevalue("temporary_prefect")}
    else:
        environment = request.getfixturevalue("servers").environment()
    set_variables(monkeypatch, "PREFECT_API_", environment)
    login = environment.get("PREFECT_API_AUTH_STRING")
    settings = {PREFECT_API_URL: environment["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: login}
    with temporary_settings(settings):
        yield environment["PREFECT_API_URL"]
        EventsWorker.drain_all()  # it would go on with this server


@pytest.fixture
def client(prefect_api):
    """Of that server, which forgets the deployments of earlier tests."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for earlier in client.read_deployments():
            client.delete_deployment(earlier.id)
        yield client


class Toy:
    """A copy of the toy project at `path`; `hooks` holds what its stages obey and leave behind."""

    def __init__(self, path: Path, hooks: Path):
        self.path = path
        self.hooks = hooks
        hooks.mkdir()

    def dvc(self, *args: str) -> str:
        command = [sys.executable, "-m", "dvc", *args]
        env = {**os.environ, "TOY_HOOKS": "", "DVC_NO_ANALYTICS": "1"}
        return subprocess.run(
            command, cwd=self.path, env=env, check=True, capture_output=True, text=True
        ).stdout

    def hook(self, stage: str, script: str) -> None:
        (self.hooks / stage).write_text(script)

    def set(self, old: str, new: str) -> None:
        params = self.path / "params.yaml"
        params.write_text(params.read_text().replace(old, new))

    def ran(self) -> list[str]:
        """The stages whose commands ran since the last call, in order of their start."""
        ran = self.hooks / "ran"
        lines = ran.read_text().split() if ran.exists() else []
        ran.unlink(missing_ok=True)
        return lines

    def tracked(self) -> dict[str, bytes]:
        """What Git would see: dvc.lock, .gitignore and the uncached metrics."""
        return {
            name: (self.path / name).read_bytes()
            for name in ("dvc.lock", ".gitignore", "metrics.json")
        }

    def entries(self) -> list[str]:
        """The stages in dvc.lock, in its order."""
        return list(yaml.safe_load((self.path / "dvc.lock").read_text())["stages"])

    def assert_nothing_to_do(self) -> None:
        before = self.tracked()
        with contextlib.chdir(self.path), Repo() as repo:
            assert repo.status() == {}
            assert repo.reproduce() == []
        assert self.tracked() == before


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("template") / "toy"
    path.mkdir()
    (path / "dvc.yaml").write_text(DVC_YAML)
    (path / "step.sh").write_text(STEP)
    (path / "params.yaml").write_text(PARAMS)
    (path / "raw.txt").write_text("b\na\n")
    subprocess.run(["git", "init", "-q"], cwd=path, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=path, check=True)
    return path


@pytest.fixture(scope="session")
def reproduced(template, tmp_path_factory) -> Path:
    """The toy project after plain `dvc repro`: what every flow must equal."""
    folder = tmp_path_factory.mktemp("reproduced")
    shutil.copytree(template, folder / "toy")
    Toy(folder / "toy", folder / "hooks").dvc("repro", "-q")
    return folder / "toy"


@pytest.fixture
def new_toy(tmp_path):
    """Make a toy from a template: `new_toy(template, "name")`."""

    def make(source: Path, name: str = "toy") -> Toy:
        shutil.copytree(source, tmp_path / name, symlinks=True)
        return Toy(tmp_path / name, tmp_path / f"{name}-hooks")

    return make


@pytest.fixture
def toy(new_toy, template, monkeypatch) -> Toy:
    """A toy project in which nothing ran yet, as the working directory."""
    made = new_toy(template)
    monkeypatch.chdir(made.path)
    monkeypatch.setenv("TOY_HOOKS", str(made.hooks))
    return made


@pytest.fixture
def done(new_toy, reproduced, monkeypatch) -> Toy:
    """A toy project after plain `dvc repro`, as the working directory."""
    made = new_toy(reproduced)
    monkeypatch.chdir(made.path)
    monkeypatch.setenv("TOY_HOOKS", str(made.hooks))
    return made


@pytest.fixture
def run(prefect_api):
    """Run the flow in this process; gives its state and, by stage, what happened and why."""
    from flows.pipeline import pipeline

    def call(**arguments):
        arguments.setdefault("stage_timeout_seconds", 60)  # a wait in a hook that is never met
        arguments.setdefault("workers", 2)
        state = pipeline(**arguments, return_state=True)
        outcomes = state.result(raise_on_failure=False)
        return state, {outcome.name: (outcome.what, outcome.why) for outcome in outcomes}

    return call


@pytest.fixture
def shell(prefect_api):
    """Start `python -m flows.pipeline` in the working directory."""

    def start(*arguments: str, **more: str) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.pipeline", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def finish(process: subprocess.Popen) -> tuple[int, str]:
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 90
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.02)


def alive(toy) -> list[int]:
    """Processes that were started by the toy's stages: they have its hooks in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if int(entry.name) != os.getpid() and f"TOY_HOOKS={toy.hooks}\0".encode() in environment:
            found.append(int(entry.name))
    return found


def assert_none_alive(toy) -> None:
    deadline = time.monotonic() + 10
    while found := alive(toy):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def at_work(toy, *words: str) -> list[int]:
    """Processes in the toy's folder with any of these words in their command lines."""
    return [
        process.pid
        for process in psutil.process_iter(["cwd", "cmdline"])
        if process.info["cwd"] == str(toy.path)
        and any(word in part for part in process.info["cmdline"] or () for word in words)
    ]


@pytest.fixture
def mount():
    """Mount a small file system: `mount(folder, "size=300k")`, and later with other options."""
    mounted: list[Path] = []

    def call(folder: Path, options: str) -> None:
        if folder in mounted:
            options = f"remount,{options}"
        folder.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
        mounted.append(folder)

    yield call
    for folder in dict.fromkeys(mounted):
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
