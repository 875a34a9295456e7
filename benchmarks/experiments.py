"""What each choice of params.yaml is worth after equal time: the tables of docs/experiments.md.

`curve` instead of groups prints learning curves: docs/small_data.md.

Each row changes settings, mostly one that takes one of several words. Every row trains for the same
processor time: a short run measures the time of an epoch, and the number of
epochs follows, so that every learning rate schedule comes to its end. The stages themselves do all
of it; the model is then asked for every subset of modalities, as the evaluate stage asks it.

The demo's features are those of the last `dvc repro` here, whatever the seed; data, encoders and
features of the digits are made anew for each seed.
"""

import contextlib
import os
import shutil
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat, takewhile
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import yaml

from benchmarks import curve
from benchmarks.figures import duration, markdown_table
from benchmarks.stages import ROOT, make_pretrained, read_stages
from benchmarks.training import read_project_samples, read_settings
from components.align.settings import AlignSettings
from components.common import command_line
from components.data.assets import load_assets
from components.data.samples import SPLIT
from components.evaluate.measure import by_task, metrics_by_task
from components.evaluate.predict import predict
from components.fusion.registry import FUSIONS
from components.model.folder import load_model
from components.tasks.registry import with_heads
from components.training.task_sampling import SAMPLERS
from components.training.weighting.registry import WEIGHTINGS
from flows.params_file import edit

STAGES = read_stages()
PARAMS = {"demo": ROOT / "params.yaml", "digits": ROOT / "examples/digits.yaml"}
TIMED_EPOCHS = 4
ALIGNMENT_LOSSES = get_args(AlignSettings.model_fields["loss"].annotation)
GROUPS: dict[str, dict[str, dict[str, Any]]] = {  # name → row → what it changes, by dotted key
    "fusion": {word: {"model.fusion": word} for word in FUSIONS},
    "loss": {word: {"align.loss": word} for word in ALIGNMENT_LOSSES},
    "weighting": {word: {"train.weighting": word} for word in WEIGHTINGS},
    "task_sampling": {word: {"train.task_sampling": word} for word in SAMPLERS},
    "loop": {
        "as shipped": {},
        "ema_decay: 0.99": {"train.ema_decay": 0.99},
        "gradient_accumulation_steps: 4": {"train.gradient_accumulation_steps": 4},
        "max_grad_norm: 1.0": {"train.max_grad_norm": 1.0},
        "precision: bfloat16": {"train.precision": "bfloat16"},
        "schedule: one_cycle": {"train.schedule": "one_cycle"},
    },
}
OF_TASKS = ("weighting", "task_sampling")  # compared on several tasks, none weighted by hand


@dataclass(frozen=True)
class Outcome:
    """Result of one run."""

    accuracy: Mapping[str, float]  # on the test split by subset of modalities
    parameters: int  # that are trained
    rate: float  # training samples per second of processor time, validation of epochs included
    epochs: int  # that fit into the time


def variants(group: str, tasks: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return for each row of a group what it changes, by dotted key of params.yaml."""
    equal = {f"tasks.{name}.weight": 1.0 for name in tasks} if group in OF_TASKS else {}
    return {row: equal | changes for row, changes in GROUPS[group].items()}


def write_params(folder: Path, shipped: Path, changes: Mapping[str, Any]) -> None:
    """Write the settings of a folder: shipped ones with other values at dotted keys."""
    shutil.copy(shipped, folder / "params.yaml")
    change(folder, changes)


def change(folder: Path, changes: Mapping[str, Any]) -> None:
    """Change values at dotted keys in params.yaml, and what stages read."""
    edit(folder / "params.yaml", changes)
    STAGES["settings"].run(folder)


def prepare(shipped: Path, seed: int, folder: Path) -> None:
    """Run every stage before training in a folder."""
    make_pretrained(folder)
    write_params(folder, shipped, {"seed": seed})
    root = yaml.safe_load(shipped.read_text())["ingest"]["root"]
    (folder / root).mkdir(parents=True, exist_ok=True)
    for name in takewhile(lambda stage: stage != "train", STAGES):
        STAGES[name].run(folder)


@contextlib.contextmanager
def linked_copy(folder: Path) -> Iterator[Path]:
    """Give a folder with links to what the stages before training left in another one.

    Nothing there changes, since a stage replaces a link by its own file.
    """
    with TemporaryDirectory() as name:
        copied = Path(name)
        for path in STAGES["align"].data | STAGES["train"].data:
            (copied / path).parent.mkdir(parents=True, exist_ok=True)
            (copied / path).symlink_to(folder.resolve() / path)
        yield copied


def run(
    shipped: Path, changes: Mapping[str, Any], prepared: Mapping[int, Path], seconds: float
) -> list[Outcome]:
    """Train for some seconds of processor time and evaluate, once per seed.

    Args:
        shipped: the settings.
        changes: of them, by dotted key.
        prepared: seed → where the stages before training ran.
        seconds: of training, without start and end.
    """
    outcomes, epoch_seconds = [], None
    for seed, made in prepared.items():
        with linked_copy(made) as folder:
            write_params(folder, shipped, {"seed": seed, **changes})
            if any(key.startswith("align.") for key in changes):
                STAGES["align"].run(folder)
            epoch_seconds = epoch_seconds or time_epoch(folder)
            epochs = max(1, round(seconds / epoch_seconds))
            train(folder, epochs)
            outcomes.append(evaluate(folder, epoch_seconds, epochs))
    return outcomes


def train(folder: Path, epochs: int) -> float:
    """Train in a folder for some epochs; return processor time in seconds, start included."""
    change(folder, {"train.epochs": epochs})
    return duration(lambda: STAGES["train"].run(folder), time.process_time)


def time_epoch(folder: Path) -> float:
    """Return the processor time of an epoch, its validation included."""
    train(folder, 1)  # the first run also imports
    start = train(folder, 1)
    return (train(folder, 1 + TIMED_EPOCHS) - start) / TIMED_EPOCHS


def evaluate(folder: Path, epoch_seconds: float, epochs: int) -> Outcome:
    """Return the outcome for the first task of the model in a folder."""
    settings, samples = read_settings(folder), read_project_samples(folder)
    model = load_model(folder / "models/synesthesia")
    modalities, tasks = model.config.modalities, with_heads(settings.tasks)
    assets = {m: load_assets(folder / "data/tensors" / m) for m in modalities}
    predictions = predict(model, samples[samples[SPLIT] == "test"], assets, tasks)
    frozen = {
        p for m in modalities if settings.train.is_frozen(m) for p in model.encoder(m).parameters()
    }
    return Outcome(
        accuracy=by_task(predictions, metrics_by_task(model))["accuracy"][next(iter(tasks))],
        parameters=sum(p.numel() for p in model.parameters() if p not in frozen),
        rate=int((samples[SPLIT] == "train").sum()) / epoch_seconds,
        epochs=epochs,
    )


def prepare_all(data: str, seeds: Sequence[int], work: Path, pool: Executor) -> dict[int, Path]:
    """Return by seed where the stages before training ran: for the demo in the working tree."""
    if data == "demo":
        return dict.fromkeys(seeds, ROOT)
    folders = {seed: work / f"{data}-{seed}" for seed in seeds}
    list(pool.map(prepare, repeat(PARAMS[data]), folders, folders.values()))
    return folders


def table(group: str, runs: Mapping[str, Future[list[Outcome]]]) -> Iterator[str]:
    """Yield the lines of a Markdown table, each as soon as its runs are done."""
    first, *_ = runs.values()
    subsets = list(first.result()[0].accuracy)
    rows = (_cells(word, future.result()) for word, future in runs.items())
    yield from markdown_table([group, *subsets, "parameters", "samples/s", "epochs"], rows)


def _cells(word: str, outcomes: Sequence[Outcome]) -> list[str]:
    first = outcomes[0]
    accuracies = [spread([outcome.accuracy[s] for outcome in outcomes]) for s in first.accuracy]
    return [word, *accuracies, f"{first.parameters:,}", f"{first.rate:,.0f}", f"{first.epochs}"]


def spread(values: Sequence[float]) -> str:
    """Return mean, lowest and highest of some fractions, in per cent."""
    mean, low, high = statistics.mean(values), min(values), max(values)
    return f"{100 * mean:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables as Markdown."""
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["curve"]:
        return curve.main(words[1:])
    parser = command_line.parser(__doc__)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="default: all of them")
    parser.add_argument("--data", nargs="+", choices=list(PARAMS), default=list(PARAMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=10.0, help="of processor time per run")
    parser.add_argument("--processes", type=int, default=2, help="runs side by side")
    parser.add_argument("--work", type=Path, default=ROOT / "work/experiments", help="a folder")
    options = parser.parse_args(words)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that follow
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        for data in options.data:
            shipped = PARAMS[data]
            tasks = yaml.safe_load(shipped.read_text())["tasks"]
            prepared = prepare_all(data, options.seeds, options.work, pool)
            for group in options.groups or GROUPS:
                if group in OF_TASKS and len(tasks) < 2:
                    continue
                print(f"\n{data}, {options.seconds:g} s of training:\n")
                runs = {
                    word: pool.submit(run, shipped, changes, prepared, options.seconds)
                    for word, changes in variants(group, tasks).items()
                }
                for line in table(group, runs):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
