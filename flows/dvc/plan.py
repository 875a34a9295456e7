"""The stages that a run will visit, and what changed since they ran, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dvc.stage import PipelineStage, Stage
from dvc.utils.serialize import load_path, load_yaml
from dvc_objects.fs.local import localfs
from networkx import DiGraph

from components.common.nested import flatten
from components.stage.code_listing import read_listing

MAX_REASONS = 3
LISTINGS = Path("data/code")  # a file per stage with the code that it can run

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class PlannedStage:
    """A stage that a run will visit, and its outputs that are metrics or plots."""

    name: str
    upstream: tuple[str, ...]  # names of the stages whose outputs it reads
    command: str = ""
    metric_files: tuple[Path, ...] = ()
    plot_files: tuple[Path, ...] = ()

    def metrics(self) -> Metrics:
        """Return the numbers in its files of metrics, by names such as `accuracy/answer`."""
        files = [load_path(str(path), localfs) for path in self.metric_files if path.exists()]
        figures = (figure for values in files for figure in flatten(values, "/"))
        return {name: value for name, value in figures if isinstance(value, int | float)}

    def pictures(self) -> list[Path]:
        """Return its plots that are PNG files."""
        plots = (path.rglob("*") if path.is_dir() else [path] for path in self.plot_files)
        return sorted(path for paths in plots for path in paths if path.suffix == ".png")


def in_order(stages: list[Stage], graph: DiGraph) -> list[PlannedStage]:
    """Return the stages with those that each waits for: the ones that make its inputs.

    A frozen stage reads its inputs as they are at its place in the plan, so that of the two the
    later one waits.
    """
    place = {stage: number for number, stage in enumerate(stages)}
    upstream: dict[Stage, list[str]] = {stage: [] for stage in stages}
    for reader, maker in graph.edges(stages):
        if maker in place:
            first, second = sorted((reader, maker), key=place.__getitem__)
            upstream[second].append(first.addressing)
    return [
        PlannedStage(
            stage.addressing,
            tuple(names),
            stage.cmd if isinstance(stage.cmd, str) else "\n".join(stage.cmd or []),
            tuple(Path(out.fs_path) for out in stage.outs if out.is_metric),
            tuple(Path(out.fs_path) for out in stage.outs if out.is_plot),
        )
        for stage, names in upstream.items()
    ]


def lockfile(stage: Stage) -> Path:
    """Return the `dvc.lock` of a stage."""
    return Path(stage.path).with_suffix(".lock")


def recorded(stage: Stage) -> bool:
    """Return whether `dvc.lock` has the stage."""
    if not isinstance(stage, PipelineStage):
        return True
    path = lockfile(stage)
    if not path.exists():
        return False
    version = path.stat()
    return stage.name in _entries(path, version.st_ino, version.st_mtime_ns, version.st_size)


@lru_cache(maxsize=1)
def _entries(path: Path, *_version: int) -> frozenset[str]:
    """Return the stages in a version of `dvc.lock`: parsing it once per stage takes seconds."""
    return frozenset(load_yaml(path).get("stages", {}))


def explain(stage: Stage) -> str:
    """Return why a stage must run, in words; empty if nothing changed."""
    if stage.cmd and not recorded(stage):
        return "not run before"
    reasons = []
    entries: list[Any] = stage.status().get(stage.addressing, [])  # deeper than DVC declares them
    for entry in entries:
        if isinstance(entry, str):  # "changed command", "always changed"
            reasons.append(entry)
            continue
        for kind, changes in entry.items():
            prefix = "output " if kind == "changed outs" else ""
            for path, what in changes.items():
                if isinstance(what, dict):  # parameters of a file
                    reasons += [f"{path}: {key} {_plain(word)}" for key, word in what.items()]
                elif files := _changed_code(stage, path):
                    reasons += [f"{file} changed" for file in files]
                else:
                    reasons.append(f"{prefix}{path} {_plain(what)}")
    more = len(reasons) - MAX_REASONS
    return "; ".join(reasons[:MAX_REASONS] + ([f"and {more} more"] if more > 0 else []))


def _changed_code(stage: Stage, path: str) -> list[str]:
    """Return the files that differ between a listing of code and that of the last run.

    None for other dependencies, and where DVC's cache has lost the earlier listing.
    """
    if Path(path).parent != LISTINGS or not Path(path).exists():
        return []
    recorded = next((dep.hash_info for dep in stage.deps if dep.def_path == path), None)
    cached = Path(stage.repo.cache.local.oid_to_path(recorded.value)) if recorded else None
    if cached is None or not cached.exists():
        return []
    files = read_listing(cached).items() ^ read_listing(Path(path)).items()
    return sorted({name for name, _ in files})


def _plain(change: str) -> str:
    return {"deleted": "missing", "modified": "changed"}.get(change, change)
