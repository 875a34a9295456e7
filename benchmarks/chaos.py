"""Kill parts of the pipeline at random instants, and check that nothing is lost.

python -m benchmarks.chaos --rounds 50 --seed 0
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import psutil
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from benchmarks.figures import duration, markdown_table
from benchmarks.project import SMALL, Project, temporary
from benchmarks.stages import read_stages
from components.common import command_line
from components.common.files import read_json
from components.common.hashing import file_hash
from components.modalities.registry import MODALITIES
from components.register.settings import RegisterSettings, RegisterStageSettings
from components.registry.tracking import connect
from components.registry.versions import ModelVersions
from components.stage.settings import load_settings
from flows.prefect.runs import end_lost_runs
from flows.services.services import PORTS, Services

KINDS = ("driver", "stage", "mlflow", "prefect", "postgresql")
STAGES = read_stages()
BRANCHES = tuple(f"features_{m}" for m in MODALITIES)
TAIL = ("align", "train", "evaluate", "register")
MODEL = Path("models/synesthesia")
MAX_DOWN_SECONDS = 5.0  # until a killed server is started again
PATIENCE_SECONDS = 600.0
ANY_PORTS = dict.fromkeys(PORTS, 0)


@dataclass(frozen=True)
class Round:
    """What was killed, what it hit, and the outcome."""

    number: int
    kind: str  # what was killed
    hit: str  # the stages that ran at that moment, or else the state of the flow
    ended: str  # how the flow ended
    lock: str  # what of dvc.lock differs from the reference: "order", "content"; "bytes": nothing
    problems: tuple[str, ...]  # what is wrong afterwards
    seconds: float

    def __str__(self) -> str:
        problems = "; ".join(self.problems) or "no problems"
        return (
            f"{self.number:3}  {self.kind:<10}  {self.hit:<32}  {self.ended:<24}  "
            f"dvc.lock: {self.lock:<9}  {self.seconds:4.0f} s  {problems}"
        )


@dataclass(frozen=True)
class Durations:
    """How long a flow takes on an idle machine, in seconds: with nothing to do, and per stage."""

    idle: float
    stage: float


class Chaos:
    """Rounds on copies of a project after plain `dvc repro`, with running services."""

    def __init__(self, project: Project, services: Services, durations: Durations):
        self._finished, self._services, self._durations = project, services, durations
        self._reference = project.lock
        self.environment = services.environment()

    def round(self, number: int, seed: int, forgotten: Sequence[str] | None = None) -> Round:
        """Play one round.

        Args:
            number: decides with `seed` what is killed, and when.
            seed: of the series.
            forgotten: stages that have to run; None: drawn at random.
        """
        began = time.monotonic()
        generator, kind = random.Random(f"{seed}/{number}"), KINDS[number % len(KINDS)]
        stages = _draw_stages(generator) if forgotten is None else forgotten
        with temporary(self._finished.copy) as project:
            project.forget(*stages)
            empty_registry(self._finished)
            latest = self._durations.idle + self._durations.stage * len(stages)
            delay, down = generator.uniform(0, latest), generator.uniform(0, MAX_DOWN_SECONDS)
            with self._flow(project) as flow:
                hit = self._kill(kind, flow, project, delay, down)
                code = flow.wait(PATIENCE_SECONDS)
            lock, problems = self._check(project, stages)
            if problems:
                shutil.copy(project.path / "flow.log", f"chaos-{seed}-{number}.log")
        ended = {0: "went on", -signal.SIGKILL: "was killed"}.get(code, f"gave up (code {code})")
        return Round(number, kind, hit, ended, lock, tuple(problems), time.monotonic() - began)

    @contextmanager
    def _flow(self, project: Project) -> Iterator[subprocess.Popen]:
        options = ["--workers", "2", "--retries", "3", "--retry-seconds", "1"]
        with (project.path / "flow.log").open("wb") as log:
            flow = project.start("flows.pipeline", *options, output=log, **self.environment)
            try:
                yield flow
            finally:
                flow.kill()  # if it still runs
                flow.wait()

    def _kill(
        self, kind: str, flow: subprocess.Popen, project: Project, delay: float, down: float
    ) -> str:
        """Kill something after a delay; return what ran at that moment."""
        deadline = time.monotonic() + delay
        while time.monotonic() < deadline and flow.poll() is None:
            time.sleep(0.01)
        if kind == "stage":
            while not (running := running_stages(project)) and flow.poll() is None:
                time.sleep(0.01)
            if not running:
                return "over"
            process, name = next(iter(running.items()))
            process.kill()
            return name
        names = ", ".join(sorted(running_stages(project).values()))
        hit = names or ("between stages" if flow.poll() is None else "over")
        if kind == "driver":
            flow.kill()
            return hit
        if server := self._services.process(kind):
            for member in server.members():
                member.kill()
        time.sleep(down)
        self._services.start()
        return hit

    def _check(self, project: Project, stages: Sequence[str]) -> tuple[str, list[str]]:
        """Finish with plain `dvc repro`; return how dvc.lock compares, and what is wrong."""
        problems = []
        try:
            project.run("dvc", "repro", "--quiet", **self.environment)
        except RuntimeError as error:
            problems = [str(error)]
        lock = _compare(project.lock, _expected(self._reference, stages))
        problems += [] if lock == "bytes" else [f"dvc.lock has other {lock}"]
        return lock, problems + registry_problems(project) + self._unfinished_runs()

    def _unfinished_runs(self) -> list[str]:
        """Return the flow runs that began and are not over once lost runs were ended.

        A run whose server dies before its flow begins stays Pending: it has done nothing.
        """
        settings = (PREFECT_API_URL, PREFECT_API_AUTH_STRING)
        with temporary_settings({setting: self.environment[setting.name] for setting in settings}):
            end_lost_runs("pipeline")
            with get_client(sync_client=True) as client:
                runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=200)
        began = [run for run in runs if not run.state.is_pending()]
        return [f"run {run.name} is {run.state.name}" for run in began if not run.state.is_final()]


def _draw_stages(generator: random.Random) -> list[str]:
    """Return stages that have to run: perhaps an encoder's, then some of those after it."""
    first = generator.randrange(len(TAIL))
    branches = generator.sample(BRANCHES, generator.randrange(2))
    return [name for name in STAGES if name in (*branches, *TAIL[first:])]


def running_stages(project: Project) -> dict[psutil.Process, str]:
    """Return the processes that run a stage in a project now, with the names of the stages."""
    stages = {("-m", stage.module, *stage.words): name for name, stage in STAGES.items()}
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            name = stages.get(tuple(process.cmdline()[1:]))
            if name and Path(process.cwd()) == project.path:
                found[process] = name
    return found


def empty_registry(project: Project) -> None:
    """Delete the versions and runs of the model, so that registering starts from nothing."""
    mlflow, settings = connect(), _settings(project)
    client = mlflow.MlflowClient()
    for model in client.search_registered_models(f"name = '{settings.model}'"):
        client.delete_registered_model(model.name)
    if experiment := client.get_experiment_by_name(settings.experiment):
        for run in client.search_runs([experiment.experiment_id]):
            client.delete_run(run.info.run_id)


def registry_problems(project: Project) -> list[str]:
    """Return what is half done in MLflow: there must be one complete version with this content."""
    mlflow, settings = connect(), _settings(project)
    client, versions = mlflow.MlflowClient(), ModelVersions(mlflow, settings.model)
    numbers = versions.numbers()
    if len(numbers) != 1:
        return [f"{len(numbers)} versions"]
    version = versions.get(*numbers)
    run = client.get_run(version.run_id)
    with TemporaryDirectory() as name:
        model = versions.download(version.version, Path(name) / "model")
        same_files = file_hash(model) == file_hash(project.path / MODEL)
    open_runs = client.search_runs([run.info.experiment_id], "attributes.status = 'RUNNING'")
    alias = versions.by_alias(settings.alias)
    fingerprint = read_json(project.path / "reports/registration.json")["fingerprint"]
    checks = {
        f"the version is {version.status}": version.status == "READY",
        "the version has another fingerprint": version.tags.get("fingerprint") == fingerprint,
        f"the run of the version is {run.info.status}": run.info.status == "FINISHED",
        "the version has other files": same_files,
        "the alias is elsewhere": alias is not None and alias.version == version.version,
        f"{len(open_runs)} runs are not over": not open_runs,
    }
    return [problem for problem, is_fine in checks.items() if not is_fine]


def _settings(project: Project) -> RegisterSettings:
    return load_settings(project.path / "params.yaml", RegisterStageSettings).register_


def _expected(reference: bytes, forgotten: Sequence[str]) -> bytes:
    """Return what plain `dvc repro` leaves: it appends the entries of forgotten stages."""
    lock = parse_yaml_for_update(reference.decode(), "dvc.lock")
    for name in forgotten:
        lock["stages"][name] = lock["stages"].pop(name)
    return dumps_yaml(lock).encode()


def _compare(lock: bytes, expected: bytes) -> str:
    if lock == expected:
        return "bytes"
    found, wanted = (parse_yaml_for_update(text.decode(), "dvc.lock") for text in (lock, expected))
    return "order" if found == wanted else "content"


def table(rounds: Sequence[Round]) -> Iterator[str]:
    """Yield what was killed, what it hit, and how it ended, as Markdown."""
    heads = ["killed", "rounds", "while ran", "the flow", "`dvc.lock` the same bytes", "problems"]
    rows = []
    for kind in KINDS:
        if played := [r for r in rounds if r.kind == kind]:
            hits, ends = _counts(r.hit for r in played), _counts(r.ended for r in played)
            same = sum(r.lock == "bytes" for r in played)
            problems = _counts(problem for r in played for problem in r.problems) or "none"
            rows.append([kind, str(len(played)), hits, ends, str(same), problems])
    return markdown_table(heads, rows)


def _counts(words: Iterable[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in Counter(words).most_common())


@contextmanager
def running_services() -> Iterator[Services]:
    """Give servers with data of their own, which may be killed."""
    folder = Path(mkdtemp(prefix="chaos-"))
    folder.chmod(0o711)  # PostgreSQL's account passes through
    services = Services(folder / "services")
    try:
        services.start(ANY_PORTS)
        yield services
    finally:
        services.stop()
        shutil.rmtree(folder)


def measured(project: Project, environment: Mapping[str, str]) -> Durations:
    """Measure how long a flow takes in a copy of a project."""
    with temporary(project.copy) as copied:
        flow = partial(copied.run, "flows.pipeline", **environment)
        idle = duration(flow)
        copied.forget(*TAIL)
        return Durations(idle, (duration(flow) - idle) / len(TAIL))


def play(project: Project, services: Services, numbers: Iterable[int], seed: int) -> list[Round]:
    """Play rounds and print each.

    Args:
        project: after `dvc repro`, registered in the store of the services or in none.
        services: running.
        numbers: of the rounds.
        seed: of the series.
    """
    os.environ.update(services.environment())  # for MLflow's client in this process
    chaos, rounds = Chaos(project, services, measured(project, services.environment())), []
    for number in numbers:
        rounds.append(chaos.round(number, seed))
        print(rounds[-1], flush=True)
    return rounds


def main(words: Sequence[str] | None = None) -> int:
    """Play the rounds and print the table; return 1 if anything was lost, else 0."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(words)
    make = partial(Project.fresh, settings=SMALL)
    with running_services() as services, temporary(make) as project:
        project.run("dvc", "repro", "--quiet", **services.environment())
        rounds = play(project, services, range(args.rounds), args.seed)
    print("\n".join(table(rounds)))
    return int(any(played.problems for played in rounds))


if __name__ == "__main__":
    sys.exit(main())
