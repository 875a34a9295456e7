"""Kill what the pipeline consists of at random instants, and see that nothing is lost.

python -m benchmarks.chaos --rounds 50 --seed 0
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import psutil
from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

from components.common.files import read_json
from components.common.hashing import file_hash
from components.registry.fetch import fetch
from components.registry.tracking import connect
from flows.services.services import PORTS, Services
from tests.clone import Clone
from tests.stages import STAGES

KINDS = ("driver", "stage", "mlflow", "prefect", "postgresql")
BRANCHES = ("features_image", "features_text", "features_audio")
TAIL = ("align", "train", "evaluate", "register")
DOWN_SECONDS = 5.0  # that a server which was killed is away, at most
PATIENCE = 600.0


@dataclass(frozen=True)
class Round:
    """What was killed, where that hit, and what became of it.

    Attributes:
        number: of the round.
        kind: what was killed.
        hit: the stages that ran then, or what else went on.
        ended: how the driver did.
        lock: whether dvc.lock is the reference in the end: "bytes", "content" or "different".
        problems: what is wrong then; empty if nothing.
        seconds: that the round took.
    """

    number: int
    kind: str
    hit: str
    ended: str
    lock: str
    problems: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        wrong = "; ".join(self.problems) or "all well"
        return (
            f"{self.number:3}  {self.kind:<10}  {self.hit:<32}  {self.ended:<24}  "
            f"dvc.lock: {self.lock:<9}  {self.seconds:4.0f} s  {wrong}"
        )


class Chaos:
    """Rounds on clones of a small pipeline that has run.

    Args:
        clone: after plain `dvc repro`.
        services: that run.
        seconds: how long a flow takes on an idle machine: of its own, and a stage.
    """

    def __init__(self, clone: Clone, services: Services, seconds: tuple[float, float]):
        self._done, self._services, self._seconds = clone, services, seconds
        self._reference = clone.read("dvc.lock")
        self.environment = services.environment()

    def round(self, number: int, seed: int, forgotten: Sequence[str] | None = None) -> Round:
        """Play one round.

        Args:
            number: decides with `seed` what is killed when.
            forgotten: stages that have to run; None: chance decides.
        """
        began = time.monotonic()
        chance, kind = random.Random(f"{seed}/{number}"), KINDS[number % len(KINDS)]
        stages = self._stages(chance) if forgotten is None else forgotten
        with TemporaryDirectory(prefix="chaos-") as name:
            clone = self._done.copy(Path(name) / "clone")
            clone.forget(*stages)
            empty_registry(self._done)
            delay = chance.uniform(0, self._seconds[0] + self._seconds[1] * len(stages))
            with self._driver(clone) as driver:
                hit = self._kill(kind, driver, clone, delay, chance.uniform(0, DOWN_SECONDS))
                code = driver.wait(PATIENCE)
            finished = clone.try_("dvc", "repro", "-q", **self.environment)
            problems = [] if not finished.returncode else [f"dvc repro: {finished.stderr[-500:]}"]
            lock = _compare(clone.read("dvc.lock"), _expected(self._reference, stages))
            problems += [] if lock == "bytes" else [f"dvc.lock has other {lock}"]
            problems += registry_problems(clone) + self._lost_runs()
            if problems:
                shutil.copy(clone.path / "driver.log", f"chaos-{seed}-{number}.log")
        ended = {0: "went on", -signal.SIGKILL: "was killed"}.get(code, f"gave up (code {code})")
        return Round(number, kind, hit, ended, lock, tuple(problems), time.monotonic() - began)

    @staticmethod
    def _stages(chance: random.Random) -> list[str]:
        """Stages that have to run: an encoder's perhaps, then some of what follows."""
        first = chance.randrange(len(TAIL))
        branches = chance.sample(BRANCHES, chance.randrange(2))
        return [name for name in STAGES if name in (*branches, *TAIL[first:])]

    @contextmanager
    def _driver(self, clone: Clone) -> Iterator[subprocess.Popen]:
        words = ["flows.pipeline", "--workers", "2", "--retries", "3", "--retry-seconds", "1"]
        with (clone.path / "driver.log").open("wb") as log:
            driver = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=clone.path,
                env=clone.environment(**self.environment),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                yield driver
            finally:
                if driver.poll() is None:
                    driver.kill()
                    driver.wait()

    def _kill(
        self, kind: str, driver: subprocess.Popen, clone: Clone, delay: float, down: float
    ) -> str:
        """Kill after a delay; what went on then."""
        deadline = time.monotonic() + delay
        while time.monotonic() < deadline and driver.poll() is None:
            time.sleep(0.01)
        if kind == "stage":
            while not (running := commands(clone)) and driver.poll() is None:
                time.sleep(0.01)
            for process in running[:1]:
                process.kill()
            return _names(running[:1]) or "over"
        hit = _names(commands(clone)) or ("between stages" if driver.poll() is None else "over")
        if kind == "driver":
            driver.kill()
            return hit
        for member in self._services.process(kind).members():
            member.kill()
        time.sleep(down)
        self._services.start()
        return hit

    def _lost_runs(self) -> list[str]:
        """Flow runs that are not over after the lost ones were ended."""
        from prefect.client.orchestration import get_client
        from prefect.client.schemas.sorting import FlowRunSort
        from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

        from flows.runs import end_lost

        with temporary_settings(
            {
                PREFECT_API_URL: self.environment["PREFECT_API_URL"],
                PREFECT_API_AUTH_STRING: self.environment["PREFECT_API_AUTH_STRING"],
            }
        ):
            end_lost("pipeline")
            with get_client(sync_client=True) as client:
                runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=200)
        return [f"run {run.name} is {run.state.name}" for run in runs if not run.state.is_final()]


def commands(clone: Clone) -> list[psutil.Process]:
    """The processes that run a stage's module in a clone now, without those that they started."""
    modules, found = {row.module for row in STAGES.values()}, []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if modules & set(words[1:3]) and Path(process.cwd()) == clone.path:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            continue
    return found


def empty_registry(clone: Clone) -> None:
    """Delete the model's versions and runs, so that registering has all to do."""
    mlflow, settings = connect(), _settings(clone)
    client = mlflow.MlflowClient()
    for model in client.search_registered_models(f"name = '{settings['model']}'"):
        client.delete_registered_model(model.name)
    if experiment := client.get_experiment_by_name(settings["experiment"]):
        for run in client.search_runs([experiment.experiment_id]):
            client.delete_run(run.info.run_id)


def registry_problems(clone: Clone) -> list[str]:
    """What is half done in MLflow: there must be one version, whole, with this content."""
    mlflow, settings = connect(), _settings(clone)
    client = mlflow.MlflowClient()
    fingerprint = read_json(clone.path / "reports/registration.json")["fingerprint"]
    versions = client.search_model_versions(f"name = '{settings['model']}'")
    if len(versions) != 1:
        return [f"{len(versions)} versions"]
    (version,) = versions
    run = client.get_run(version.run_id)
    with TemporaryDirectory() as name:
        model = fetch(mlflow, settings["model"], version.version, Path(name) / "model")
        same = file_hash(model) == file_hash(clone.path / STAGES["register"].options["model"])
    experiment = client.get_experiment_by_name(settings["experiment"])
    open_runs = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'")
    alias = client.get_model_version_by_alias(settings["model"], settings["alias"])
    checks = {
        f"the version is {version.status}": version.status == "READY",
        "its fingerprint is another one": version.tags.get("fingerprint") == fingerprint,
        f"its run is {run.info.status}": run.info.status == "FINISHED",
        "its files are others": same,
        "the alias is elsewhere": alias.version == version.version,
        f"{len(open_runs)} runs are not over": not open_runs,
    }
    return [problem for problem, well in checks.items() if not well]


def _settings(clone: Clone) -> dict[str, str]:
    path = clone.path / "params.yaml"
    return parse_yaml_for_update(path.read_text(), path)["register"]


def _names(processes: Sequence[psutil.Process]) -> str:
    stages = {row.module: name for name, row in STAGES.items()}
    names = []
    for process in processes:
        try:
            names += [stages[word] for word in process.cmdline() if word in stages]
        except psutil.NoSuchProcess:
            names.append("a stage's end")
    return ", ".join(sorted(names))


def _expected(reference: bytes, forgotten: Sequence[str]) -> bytes:
    """What plain `dvc repro` leaves when some stages were forgotten: it appends their entries."""
    lock = parse_yaml_for_update(reference.decode(), "dvc.lock")
    for name in forgotten:
        lock["stages"][name] = lock["stages"].pop(name)
    return dumps_yaml(lock).encode()


def _compare(lock: bytes, expected: bytes) -> str:
    if lock == expected:
        return "bytes"
    found, wanted = (parse_yaml_for_update(text.decode(), "dvc.lock") for text in (lock, expected))
    return "order" if found == wanted else "content"


def table(rounds: Sequence[Round]) -> str:
    """What was killed, where it hit, and how it ended, as Markdown."""
    lines = [
        "| killed | rounds | while ran | the flow | `dvc.lock` the same bytes | problems |",
        "|---|---|---|---|---|---|",
    ]
    for kind in KINDS:
        those = [played for played in rounds if played.kind == kind]
        if not those:
            continue
        cells = [
            kind,
            str(len(those)),
            _counted(played.hit for played in those),
            _counted(played.ended for played in those),
            f"{sum(played.lock == 'bytes' for played in those)}",
            _counted(problem for played in those for problem in played.problems) or "none",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _counted(words: Iterator[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in Counter(words).most_common())


def prepare(folder: Path, services: Services) -> Chaos:
    """A small pipeline that has run, and how long its flow takes."""
    clone = Clone.fresh(folder / "clone")
    environment = services.environment()
    clone.run("dvc", "repro", "-q", **environment)
    os.environ.update(services.environment())  # for MLflow's client in here
    again = clone.copy(folder / "again")
    began = time.monotonic()
    again.run("flows.pipeline", **environment)
    idle = time.monotonic() - began
    again.forget(*TAIL)
    began = time.monotonic()
    again.run("flows.pipeline", **environment)
    return Chaos(clone, services, (idle, (time.monotonic() - began - idle) / len(TAIL)))


def main() -> int:
    """Play the rounds and print the table; exit code 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder = Path(mkdtemp(prefix="chaos-"))
    folder.chmod(0o711)  # PostgreSQL's own account enters it
    services = Services(folder / "services")
    rounds = []
    try:
        services.start(dict.fromkeys(PORTS, 0))
        chaos = prepare(folder, services)
        for number in range(args.rounds):
            rounds.append(chaos.round(number, args.seed))
            print(rounds[-1], flush=True)
    finally:
        services.stop()
        shutil.rmtree(folder)
    print(table(rounds))
    return int(any(played.problems for played in rounds))


if __name__ == "__main__":
    sys.exit(main())
