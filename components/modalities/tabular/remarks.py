"""What of numbers and categories looks like a mistake."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from components.common.errors import listed
from components.common.far_numbers import far_numbers
from components.common.spelling import alike, like_a_number, quoted
from components.modalities.tabular.decoding import NUMBERS, decode, number

MANY = 0.9  # of the cells, if so many differ from each other
MOST = 0.5  # of the cells
ENOUGH = 50  # cells, to say how many differ
DAY = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*|[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{2,4}.*")
COMMA = re.compile(r"[+-]?[0-9]+,([0-9]{1,2}|[0-9]{4,})")  # which marks no thousands


def remarks(contents: Sequence[bytes]) -> list[str]:
    """See `Remarks`: a sentence per column."""
    columns: dict[str, Counter[str]] = {}
    for content in contents:
        for column, cell in decode(content).items():
            columns.setdefault(column, Counter())[cell] += 1
    return [f"column {name!r}: {what}" for name, counts in columns.items() for what in _of(counts)]


def _of(counts: Counter[str]) -> Iterator[str]:
    """Yield what is odd about the cells of a column."""
    numbers = [cell for cell in counts if not math.isnan(number(cell))]
    if sum(counts[cell] for cell in numbers) >= NUMBERS * counts.total():
        for far, others in far_numbers(numbers):
            yield (
                f"{far} lies far from the other numbers, {others}; if it means that the value is "
                "unknown, leave the cell empty"
            )
    else:
        yield from _of_names(counts, numbers)


def _of_names(counts: Counter[str], numbers: Sequence[str]) -> Iterator[str]:
    """Yield what is odd about the cells of a column of categories."""
    total, others = counts.total(), [cell for cell in counts if cell not in set(numbers)]
    odd = f"such as {listed([quoted(cell) for cell in others[:3]])}"
    if (part := sum(counts[cell] for cell in numbers) / total) >= MOST:
        yield (
            f"{part:.0%} of its cells are numbers, but for others, {odd}, all of them are "
            "categories; leave those empty if it is a column of numbers"
        )
    elif _part(counts, like_a_number) >= MOST:
        comma = any(map(COMMA.fullmatch, others))
        hint = 'set ingest.source.decimal: ",", or ' if comma else ""
        yield f"cells {odd} are categories and no numbers; {hint}write the numbers alone"
    elif _part(counts, DAY.fullmatch) >= MOST:
        yield f"dates {odd} are categories; write what matters of them as numbers"
    elif total >= ENOUGH and len(counts) > MANY * total:
        yield f"nearly all cells differ, {odd}, so that these categories teach nothing"
    if groups := alike(counts):
        shown = listed([" and ".join(map(quoted, group)) for group in groups])
        yield f"{shown} differ in case, blanks or what cannot be seen only; write them as one"


def _part(counts: Mapping[str, int], is_one) -> float:
    """Return how many of the cells are of a kind."""
    return sum(count for cell, count in counts.items() if is_one(cell)) / sum(counts.values())
