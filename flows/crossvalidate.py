"""K-fold cross-validation of the whole pipeline: how much its figures vary with the data.

python -m flows.crossvalidate --folds 5

The training and validation samples are divided into folds, in which groups (ingest.splits.group)
stay whole. For each fold the pipeline runs in a copy of the project, in which that fold is the test
split. Nothing is learnt or chosen by the samples of the test split, and settings, outputs and
registered models stay as they are. A cross-validation that was stopped continues where it was.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from filelock import FileLock, Timeout

from components.common import command_line
from components.common.errors import Unavailable
from components.common.files import write_json
from components.registry.shown import named_by_gates, runs_page
from components.registry.tracking import connect, experiment_id, mlflow_errors, without_password
from components.stage.stage import exit_codes
from flows.crossvalidation.ensemble import EnsembleRun
from flows.crossvalidation.fold_run import FoldRun
from flows.crossvalidation.results import content, spreads, table
from flows.crossvalidation.run_log import CONTENT, CrossValidationLog
from flows.dvc.sandbox import LOCK, Sandbox
from flows.processes.command import Stopped
from flows.settings import FlowSettings, flow_settings

HOME = Path("work/crossvalidation")


def main(argv: Sequence[str] | None = None) -> None:
    """Cross-validate from the shell; see `exit_codes`."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--folds", type=int, default=5, help="number of folds (5)")
    parser.add_argument("--jobs", type=int, default=1, help="folds that run side by side (1)")
    parser.add_argument(
        "--ensemble",
        action="store_true",
        help="register the mean of the folds' models if it is better than each of them",
    )
    options = parser.parse_args(argv)
    if options.folds < 2:
        parser.error(f"--folds: found {options.folds}, expected at least 2")
    if options.jobs < 1:
        parser.error(f"--jobs: found {options.jobs}, expected at least 1")
    with exit_codes():
        settings = flow_settings()
        with _alone():
            runs = crossvalidate(settings, options.folds, options.jobs)
            if options.ensemble:
                sandbox = Sandbox(HOME / f"{options.folds}-folds" / "ensemble")
                run = EnsembleRun(runs, settings.ingest.root, sandbox)
                print(f"ensemble    {run.register()}")


def crossvalidate(settings: FlowSettings, of: int, jobs: int) -> list[FoldRun]:
    """Run every fold, `jobs` of them side by side; print and log how their figures spread.

    Returns the folds.
    """
    mlflow = connect()
    with mlflow_errors(mlflow):  # before hours of work: does MLflow let us in?
        experiment = experiment_id(mlflow, settings.register_.experiment)
    runs = [FoldRun(number, of, HOME / f"{of}-folds") for number in range(1, of + 1)]
    run_folds(runs, settings, jobs)
    folds = [run.read() for run in runs]
    path = HOME / f"{of}-folds" / CONTENT
    write_json(path, content(folds))
    print(f"\n{table(spreads(folds))}\n\nfigures     {path}")
    with mlflow_errors(mlflow):
        log = CrossValidationLog(mlflow, experiment, named_by_gates(settings.promote.model_dump()))
        run_id = log.log(folds, runs[0].settings())
        page = without_password(runs_page(mlflow.get_tracking_uri(), experiment))
    print(f"MLflow run  {run_id}\nbrowse      make ui, and open {page}")
    return runs


def run_folds(runs: Sequence[FoldRun], settings: FlowSettings, jobs: int) -> None:
    """Run folds; the first that fails stops the others."""
    for run in runs:  # all of them first, so that none sees an edit that is made meanwhile
        run.prepare(settings.ingest.root)
    stopping = Event()

    def start(run: FoldRun) -> None:
        made = (other.sandbox.lock for other in runs if other.has_run)
        try:
            run.run(next(made, Path(LOCK)), stopping)
        except BaseException:
            stopping.set()
            raise

    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(start, run) for run in runs]
        try:
            wait(futures)
        finally:
            stopping.set()
    for future in futures:
        if (error := future.exception()) and not isinstance(error, Stopped):
            raise error


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other cross-validations of this working tree out; raise Unavailable if one runs."""
    HOME.mkdir(parents=True, exist_ok=True)
    lock = FileLock(HOME / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Unavailable(
            "another cross-validation runs in this working tree. Wait until it has ended"
        ) from None
    try:
        yield
    finally:
        lock.release()


if __name__ == "__main__":
    main()
