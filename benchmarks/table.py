"""Measure every figure of the README and print the table: `python -m benchmarks.table`.

It takes about an hour, and 30 GB of disk in the folder of temporary files: the pipeline
runs from nothing in four clones of the last commit.
"""

import argparse
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks import clones, flow, idle, incremental, ingest, preprocess, steps, throughput
from components.config.load import load_settings

SEEDS = (0, 1, 2)
GIGABYTE = 2**30
MEGABYTE = 2**20


def accuracy_rows(runs: dict[int, clones.Run]) -> list[tuple[str, str, str]]:
    """The accuracies of every seed."""
    wanted = [
        ("answer", "image+text", "≥ 99.95 %"),
        ("answer", "image+audio", "≥ 99.9 %"),
        ("answer", "image+text+audio", "≥ 99.95 %"),
        ("answer", "text", "reported"),
        ("answer", "audio", "reported"),
        ("answer", "image", "reported"),
        ("shape", "image", "≥ 99.9 %"),
        ("colour", "image", "≥ 99.9 %"),
    ]
    rows = []
    for task, subset, bar in wanted:
        values = (f"{runs[seed].accuracy[task][subset]:.2%}" for seed in runs)
        rows.append(
            (
                f"test accuracy, {task}, {subset} (seeds {', '.join(map(str, runs))})",
                ", ".join(values),
                bar,
            )
        )
    return rows


def clone_rows() -> Iterator[tuple[str, str, str]]:
    """Time, memory, accuracy by seed, and equality of clones."""
    runs = {}
    for seed in SEEDS:
        with clones.clone() as path:
            clones.with_seed(path, seed)
            runs[seed] = clones.run(path)
    yield from accuracy_rows(runs)
    first = runs[SEEDS[0]]
    worst = max(run.seconds for run in runs.values())
    memory = max(run.memory for run in runs.values()) / GIGABYTE
    times = ", ".join(f"{name} {seconds:.0f}" for name, seconds in first.stages.items())
    yield "`dvc repro` from nothing, the slowest seed", f"{worst:.0f} s", "≤ 300 s"
    yield "of these, seconds a stage (seed 0)", times, ""
    yield "the most memory held, DVC and stages together", f"{memory:.1f} GB", "≤ 4 GB"
    figure = "`dvc.lock` of the clone and the one committed"
    yield figure, equality(first.lock, Path("dvc.lock").read_bytes()), "the same bytes"
    with clones.clone() as path:
        clones.with_seed(path, SEEDS[0])
        killed = clones.run_killed(path, first.stages)
    figure = "`dvc.lock` of a second clone in which each stage was once killed with SIGKILL"
    yield figure, equality(first.lock, killed), "the same bytes"


def equality(one: bytes, other: bytes) -> str:
    """Whether two files are the same, in words."""
    return "the same bytes" if one == other else "DIFFERENT"


def idle_rows() -> list[tuple[str, str, str]]:
    """`dvc repro` with nothing to do."""
    found = idle.measure(Path())
    value = f"{found['ratio']:.2f} × ({found['ours']:.2f} s against {found['empty']:.2f} s)"
    return [("`dvc repro` with nothing to do, against an empty DVC project", value, "≤ 1.2 ×")]


def throughput_rows() -> list[tuple[str, str, str]]:
    """Training samples a second."""
    rows = []
    for mode, found in throughput.measure(load_settings(Path("params.yaml"))).items():
        value = (
            f"{found['ratio']:.1f} × ({found['ours']:.0f} samples/s against "
            f"{found['textbook']:.0f})"
        )
        bar = "≥ 20 ×" if mode == "frozen" else "reported"
        rows.append((f"training against the textbook loop, encoders {mode}", value, bar))
    return rows


def steps_rows() -> list[tuple[str, str, str]]:
    """Time of a training step."""
    rows = []
    for mode, found in steps.measure(load_settings(Path("params.yaml"))).items():
        ours = found.pop(steps.OURS)["seconds"]
        for loop, theirs in found.items():
            value = (
                f"{theirs['ratio']:.2f} × ({1000 * ours:.1f} ms against "
                f"{1000 * theirs['seconds']:.1f} ms)"
            )
            bar = "≤ 1.05 ×" if loop == steps.BY_HAND else "< 1 ×"
            rows.append((f"a training step against {loop}, encoders {mode}", value, bar))
    return rows


def preprocess_rows() -> list[tuple[str, str, str]]:
    """Images a second."""
    found = preprocess.measure(Path())
    stage = f"{found['stage']:.0f} images/s"
    rows = []
    for rank, library in enumerate(sorted(found["loops"], key=found["loops"].get, reverse=True)):
        figure = f"JPEG 640×480 → 224, the whole stage against {library} on one core × the cores"
        rate = f"{stage} against {found['loops'][library]:.0f} a core"
        bar = "reported" if rank else "≥ 0.8"
        rows.append((figure, f"{found['by_core'][library]:.2f} ({rate})", bar))
    for kind, rate in found["maps"].items():
        figure = f"the same against `datasets.map` with as many processes, {kind}"
        value = f"{found['by_map'][kind]:.2f} × ({stage} against {rate:.0f})"
        rows.append((figure, value, "≥ 1.5 ×" if kind == preprocess.GUIDE else "reported"))
    return rows


def ingest_rows() -> list[tuple[str, str, str]]:
    """Memory of the ingest stage."""
    found = ingest.measure()
    fewer, more = (f"{rows:,}" for rows in ingest.ROWS)
    value = f"{found['ratio']:.2f} × ({found['more'] / MEGABYTE:.0f} MB)"
    return [(f"the most memory of ingest at {more} rows, against {fewer} rows", value, "≤ 1.2 ×")]


def incremental_rows() -> list[tuple[str, str, str]]:
    """Time and bytes when a hundredth of the data is new."""
    rows = []
    for kind, found in incremental.measure(Path()).items():
        figure = f"preprocessing and features when 1 % more rows are {kind}, against all anew"
        times = f"{sum(found.seconds.values()):.0f} s against {sum(found.whole.values()):.0f} s"
        value = f"{found.share:.1%} ({times}; {found.touched:.1%} of the work is in changed shards)"
        bar = "≤ 5 %" if kind == "appended" else f"≤ {1.3 * found.touched:.1%}"
        rows.append((figure, value, bar))
        figure = f"bytes that the run leaves when they are {kind}, and that a clean run leaves"
        rows.append((figure, "the same" if found.same else "DIFFERENT", "the same"))
    return rows


def flow_rows() -> list[tuple[str, str, str]]:
    """The flow against `dvc repro`, and its own time."""
    demo, own = flow.measure(Path())
    plain, flown = demo.plain, demo.flown
    value = (
        f"{flown.seconds / plain.seconds:.2f} × ({flown.seconds:.0f} s against "
        f"{plain.seconds:.0f} s; critical path {demo.path:.0f} s)"
    )
    figure = f"its own time over the critical path, with {own.stages} stages that only sleep"
    more = own.ephemeral - own.served
    return [
        (f"the flow against `dvc repro`, from nothing, {os.cpu_count()} cores", value, "reported"),
        ("`dvc.lock` of both", equality(plain.lock, flown.lock), "the same bytes"),
        (figure, f"{own.served:.1f} s", f"≤ {own.allowed:.1f} s"),
        ("the same where no Prefect server runs, so that it starts one", f"+ {more:.1f} s", ""),
    ]


PARTS = {
    "clones": clone_rows,
    "idle": idle_rows,
    "throughput": throughput_rows,
    "steps": steps_rows,
    "preprocess": preprocess_rows,
    "ingest": ingest_rows,
    "incremental": incremental_rows,
    "flow": flow_rows,
}


def main() -> None:
    """Print the table as Markdown. The last run of the pipeline here must be complete."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all of them")
    parts = parser.parse_args().parts or list(PARTS)
    memory = psutil.virtual_memory().total / GIGABYTE
    print(
        f"Measured on {os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GB, no GPU, "
        f"Python {platform.python_version()}.\n\n| figure | measured | bar |\n|---|---|---|"
    )
    for part in parts:
        for row in PARTS[part]():
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
