"""What each choice of params.yaml is worth after equal time: the tables of docs/experiments.md.

A group is a key of params.yaml that takes one of several words, and each word is a row. Every row
trains for the same processor time: a short run says what an epoch takes, and the number of epochs
follows, so that every learning rate schedule comes to its end. The stages' own commands do it all;
the model is then asked for every subset of modalities, as the evaluate stage asks it.

The demo's features are those of the last `dvc repro` here, whatever the seed; the digits' data,
encoders and features are made anew for each seed.
"""

import argparse
import contextlib
import copy
import io
import os
import shlex
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from itertools import takewhile
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args, get_origin

import yaml
from components.modalities.registry import MODALITIES

from components.config.load import load_settings
from components.config.settings import Settings
from components.data.assets import load_assets
from components.data.tables import SAMPLES, read_table
from components.evaluate.measure import metrics
from components.evaluate.predict import predict
from components.model.folder import load_model
from components.tasks.task_kinds import with_heads

ROOT = Path(__file__).parents[1]
GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
GROUPS = {  # name → key of params.yaml; its rows are the words that the key takes
    "fusion": "model.fusion",
    "loss": "align.loss",
    "modulation": "train.modulation",
    "weighting": "train.weighting",
    "scheduling": "train.tasks",
}
OF_TASKS = ("weighting", "scheduling")  # of several tasks, none of which is given a weight by hand
PARAMS = {"demo": ROOT / "params.yaml", "digits": ROOT / "examples/digits.yaml"}
READ = sorted(  # by the stages that run here: files and folders
    {
        path
        for stage in ("align", "train")
        for path in GRAPH[stage]["deps"]
        if not path.startswith("components")
    }
)
SECONDS = 10.0  # of processor time a run trains
TIMED = 4  # epochs of the run that says what an epoch takes
PROCESSES = 2


@dataclass(frozen=True)
class Variant:
    """A row: its group and name, and what it changes, by dotted key of params.yaml."""

    group: str
    name: str
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What one run has reached.

    Attributes:
        accuracy: on the test split by subset of modalities.
        parameters: that are trained.
        rate: training samples a second of processor time, validation after each epoch included.
        epochs: how many fitted into the time.
    """

    accuracy: Mapping[str, float]
    parameters: int
    rate: float
    epochs: int


def variants(group: str) -> list[Variant]:
    """A row for each word that the key of a group takes."""
    key = GROUPS[group]
    return [Variant(group, word, {key: word}) for word in words(key)]


def words(key: str) -> tuple[str, ...]:
    """The words that a key of params.yaml takes."""
    *sections, last = key.split(".")
    section = reduce(lambda node, name: node.model_fields[name].annotation, sections, Settings)
    annotation = section.model_fields[last].annotation
    assert get_origin(annotation) is Literal, f"{key} takes more than a few words"
    return get_args(annotation)


def changed(params: dict, changes: Mapping[str, Any]) -> dict:
    """A copy of `params` with other values at dotted keys that are there."""
    params = copy.deepcopy(params)
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = reduce(dict.__getitem__, sections, params)
        if last not in section:
            raise KeyError(key)
        section[last] = value
    return params


def unweighted(params: dict) -> dict:
    """A copy of `params` in which every task has the weight 1."""
    return changed(params, {f"tasks.{name}.weight": 1.0 for name in params["tasks"]})


def run_stage(name: str, folder: Path) -> None:
    """Run a stage in a folder, in this process, as dvc.yaml says; what it logs is left out."""
    _, _, name, *options = shlex.split(GRAPH[name]["cmd"])
    package = (ROOT / name.replace(".", "/")).is_dir()
    module = import_module(f"{name}.__main__" if package else name)
    before = sys.argv
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
            sys.argv = [name, *options]
            module.STAGE.run(module.work)
    finally:
        sys.argv = before


def prepare(params: dict, folder: Path) -> None:
    """Run every stage before training in a folder."""
    pretrained = [f"pretrained/{kind}" for kind in (*MODALITIES, "model")]
    for name in (params["ingest"]["root"], *pretrained):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    for name in takewhile(lambda stage: stage != "train", GRAPH):
        run_stage(name, folder)


@contextlib.contextmanager
def workplace(made: Path) -> Iterator[Path]:
    """A folder with links to what the stages before training left in `made`.

    Nothing there changes: a stage puts a file of its own in the place of a link.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        for path in READ:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(made / path)
        yield folder


def train(folder: Path, params: dict, epochs: int) -> float:
    """Train in a folder for so many epochs; seconds of processor time, all things included."""
    changes = {"train.epochs": epochs}
    (folder / "params.yaml").write_text(yaml.safe_dump(changed(params, changes)))
    began = time.process_time()
    run_stage("train", folder)
    return time.process_time() - began


def run(variant: Variant, prepared: Sequence[tuple[dict, Path]], seconds: float) -> list[Outcome]:
    """Train a variant for some seconds of processor time and evaluate it, once a seed.

    Args:
        variant: what to change.
        prepared: for each seed all other settings, and where the stages before training ran.
        seconds: of training, without what surrounds it.
    """
    outcomes, an_epoch = [], None
    for params, made in prepared:
        params = changed(params, variant.changes)
        with workplace(made) as folder:
            if any(key.startswith("align.") for key in variant.changes):
                (folder / "params.yaml").write_text(yaml.safe_dump(params))
                run_stage("align", folder)
            an_epoch = an_epoch or seconds_an_epoch(folder, params)
            epochs = max(1, round(seconds / an_epoch))
            train(folder, params, epochs)
            outcomes.append(evaluate(folder, an_epoch, epochs))
    return outcomes


def seconds_an_epoch(folder: Path, params: dict) -> float:
    """Processor time of an epoch, its validation included."""
    train(folder, params, 1)  # the first run pays for imports
    around = train(folder, params, 1)
    return (train(folder, params, 1 + TIMED) - around) / TIMED


def evaluate(folder: Path, an_epoch: float, epochs: int) -> Outcome:
    """What the model in a folder has reached at the first of its tasks."""
    settings = load_settings(folder / "params.yaml")
    model, _ = load_model(folder / "models/synesthesia")
    samples = read_table(folder / "data/samples.parquet", SAMPLES)
    tasks = with_heads(settings.tasks)
    assets = {m: load_assets(folder / "data/tensors" / m) for m in model.config.learnt}
    predictions = predict(model, samples[samples["split"] == "test"], assets, tasks)
    frozen = tuple(f"encoders.{m}." for m in settings.train.frozen)
    return Outcome(
        accuracy=metrics(predictions, model.kinds)["accuracy"][next(iter(tasks))],
        parameters=sum(
            p.numel() for name, p in model.named_parameters() if not name.startswith(frozen)
        ),
        rate=int((samples["split"] == "train").sum()) / an_epoch,
        epochs=epochs,
    )


def made_for(data: str, seeds: Sequence[int], pool: Executor) -> list[tuple[dict, Path]]:
    """For each seed the settings, and the folder where the stages before training ran."""
    shipped = yaml.safe_load(PARAMS[data].read_text())
    seeded = [changed(shipped, {"seed": seed}) for seed in seeds]
    if data == "demo":
        return [(params, ROOT) for params in seeded]
    folders = [ROOT / f"work/experiments/{data}-{seed}" for seed in seeds]
    list(pool.map(prepare, seeded, folders))
    return list(zip(seeded, folders, strict=True))


def table(runs: Sequence[tuple[Variant, Future]]) -> Iterator[str]:
    """The lines of a Markdown table, each as soon as its runs are done."""
    heads: list[str] = []
    for variant, future in runs:
        outcomes: list[Outcome] = future.result()
        if not heads:
            heads = list(outcomes[0].accuracy)
            yield f"| {' | '.join([variant.group, *heads, 'parameters', 'samples/s', 'epochs'])} |"
            yield "|---" * (len(heads) + 4) + "|"
        cells = [spread([outcome.accuracy[head] for outcome in outcomes]) for head in heads]
        first = outcomes[0]
        counts = [f"{first.parameters:,}", f"{first.rate:,.0f}", f"{first.epochs}"]
        yield f"| {' | '.join([variant.name, *cells, *counts])} |"


def spread(values: Sequence[float]) -> str:
    """Mean, lowest and highest of some shares, in per cent."""
    mean, low, high = statistics.mean(values), min(values), max(values)
    return f"{100 * mean:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def main() -> None:
    """Print the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="default: all of them")
    parser.add_argument("--data", nargs="+", choices=list(PARAMS), default=list(PARAMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that a run trains")
    parser.add_argument("--processes", type=int, default=PROCESSES, help="runs side by side")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that follow
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        for data in options.data:
            prepared = made_for(data, options.seeds, pool)
            several = len(prepared[0][0]["tasks"]) > 1
            for group in options.groups or GROUPS:
                if group in OF_TASKS and not several:
                    continue
                at = [(unweighted(p) if group in OF_TASKS else p, folder) for p, folder in prepared]
                runs = [
                    (variant, pool.submit(run, variant, at, options.seconds))
                    for variant in variants(group)
                ]
                print(f"\n{data}, {options.seconds:.0f} s of training:\n")
                for line in table(runs):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
