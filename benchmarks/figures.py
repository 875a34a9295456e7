"""Figures as the table prints them, and comparisons of two values."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

GIGABYTE = 2**30
REPORTED = "reported"  # of a figure without a bar
SAME = "the same bytes"


@dataclass(frozen=True)
class Figure:
    """A row of the table: what is measured, the value found, and the bar for it."""

    name: str
    measured: str
    bar: str = REPORTED


@dataclass(frozen=True)
class Comparison:
    """Medians over repetitions: of a value, of a reference, and of their ratio.

    The ratio is taken within a repetition, so that a machine that is slower for a while changes
    both.
    """

    value: float
    reference: float
    ratio: float

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> "Comparison":
        """Return the comparison of pairs of value and reference, one per repetition."""
        values, references = zip(*pairs, strict=True)
        ratios = [value / reference for value, reference in pairs]
        return cls(*map(statistics.median, (values, references, ratios)))


def duration(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return the seconds that some work takes by a clock."""
    began = clock()
    work()
    return clock() - began


def equality(name: str, one: bytes, other: bytes) -> Figure:
    """Return the row that says whether the contents of two files are equal."""
    return Figure(name, SAME if one == other else "DIFFERENT", SAME)


def markdown_table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table, each as soon as its row is there."""
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for cells in rows:
        yield f"| {' | '.join(cells)} |"
