"""What a run will visit, as DVC's graph says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dvc.fs import localfs
from dvc.stage import Stage
from dvc.utils.serialize import load_path
from networkx import DiGraph

from components.registry.naming import flatten

Metrics = Mapping[str, float]


@dataclass(frozen=True)
class PlannedStage:
    """A stage that a run will visit.

    Attributes:
        name: as DVC calls it.
        upstream: the names of the stages whose outputs it reads.
        command: what it runs.
        metric_files, plot_files: those of its outputs that are metrics, and plots.
    """

    name: str
    upstream: tuple[str, ...]
    command: str = ""
    metric_files: tuple[Path, ...] = ()
    plot_files: tuple[Path, ...] = ()

    @classmethod
    def of(cls, stage: Stage, upstream: Iterable[str]) -> "PlannedStage":
        """What is to be known of DVC's stage."""
        return cls(
            stage.addressing,
            tuple(upstream),
            stage.cmd if isinstance(stage.cmd, str) else "\n".join(stage.cmd or []),
            tuple(Path(out.fs_path) for out in stage.outs if out.is_metric),
            tuple(Path(out.fs_path) for out in stage.outs if out.is_plot),
        )

    def metrics(self) -> Metrics:
        """The numbers in its files of metrics, as `accuracy/answer`; none where it never ran."""
        files = [load_path(str(path), localfs) for path in self.metric_files if path.exists()]
        figures = (figure for values in files for figure in flatten(values, "/"))
        return {name: value for name, value in figures if isinstance(value, int | float)}

    def pictures(self) -> list[Path]:
        """Its plots that are PNG files."""
        plots = (path.rglob("*") if path.is_dir() else [path] for path in self.plot_files)
        return sorted(path for paths in plots for path in paths if path.suffix == ".png")


def in_order(stages: list[Stage], graph: DiGraph) -> list[PlannedStage]:
    """What each stage waits for: those that make what it reads.

    A frozen stage takes what it reads as it is at its place in the plan, before or after it is
    made: who comes later waits.
    """
    place = {stage: number for number, stage in enumerate(stages)}
    upstream: dict[Stage, list[str]] = {stage: [] for stage in stages}
    for reader, maker in graph.edges(stages):
        if maker in place:
            first, second = sorted((reader, maker), key=place.__getitem__)
            upstream[second].append(first.addressing)
    return [PlannedStage.of(stage, names) for stage, names in upstream.items()]
