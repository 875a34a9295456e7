"""Figures of the folds: mean and standard deviation of every primary metric."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from components.common.metrics import Figures, Metric, definitions
from components.registry.shown import primary_names

ABSENT = "–"


@dataclass(frozen=True)
class Fold:
    """What is known of a fold when it has run."""

    figures: Figures  # of the part that is held out
    samples: Mapping[str, int]  # by split

    @cached_property
    def by_name(self) -> dict[str, float]:
        """Its figures by name."""
        return self.figures.by_name()


@dataclass(frozen=True)
class Spread:
    """A figure in every fold, None where a fold does not have it."""

    metric: Metric
    values: tuple[float | None, ...]

    @property
    def known(self) -> list[float]:
        """The values that there are."""
        return [value for value in self.values if value is not None]

    @property
    def mean(self) -> float:
        """Mean over the folds that have it."""
        return statistics.fmean(self.known)

    @property
    def std(self) -> float | None:
        """Standard deviation of a sample; None of a single value."""
        return statistics.stdev(self.known) if len(self.known) > 1 else None

    def cells(self) -> Iterator[str]:
        """Yield mean, deviation and the value of each fold as a person reads them."""
        for value in (self.mean, self.std, *self.values):
            yield ABSENT if value is None else self.metric.format(value)


def spreads(folds: Sequence[Fold]) -> dict[str, Spread]:
    """Return every primary metric by name, as `accuracy/answer/image-text`."""
    per_task = (names for fold in folds for names in primary_names(fold.figures))
    names = dict.fromkeys(name for names in per_task for name in names)
    return {name: _spread(name, folds) for name in names}


def _spread(name: str, folds: Sequence[Fold]) -> Spread:
    metric = next(fold.figures.metric(name) for fold in folds if name in fold.by_name)
    return Spread(metric, tuple(fold.by_name.get(name) for fold in folds))


def content(folds: Sequence[Fold]) -> dict[str, Any]:
    """Return what the folds say, as JSON."""
    found = spreads(folds)
    return {
        "folds": len(folds),
        "samples": [dict(fold.samples) for fold in folds],
        "figures": {
            name: {"mean": spread.mean, "std": spread.std, "folds": list(spread.values)}
            for name, spread in found.items()
        },
        "definitions": definitions(spread.metric for spread in found.values()),
    }


def table(found: Mapping[str, Spread]) -> str:
    """Return the figures as aligned text: mean, standard deviation, and the value of each fold."""
    count = max((len(spread.values) for spread in found.values()), default=0)
    header = ["figure", "mean", "std", *(f"fold {number}" for number in range(1, count + 1))]
    rows = [header, *([name, *spread.cells()] for name, spread in found.items())]
    width = max(len(row[0]) for row in rows)
    return "\n".join(f"{row[0]:<{width}}" + "".join(f"{c:>10}" for c in row[1:]) for row in rows)
