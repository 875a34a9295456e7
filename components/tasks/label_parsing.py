"""Labels that are words, as sources spell them."""

import json
import math
import unicodedata
from collections.abc import Sequence

from components.common.errors import Problem

SEPARATOR = "|"  # between the labels in a cell of a table that has no lists


def word(value: str | float) -> str | Problem | None:
    """One label; a whole number is spelt without a fraction, None is an empty cell."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value).strip() or None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not math.isfinite(value):
        return Problem("label_not_finite", f"the label is {value}, expected a word or a number")
    if isinstance(value, int | float):
        return str(int(value)) if float(value).is_integer() else str(value)
    return Problem("label_malformed", f"the label is {value!r}, expected a word or a number")


def words(value: str | float | Sequence[str]) -> tuple[str, ...] | Problem | None:
    """Several labels: a list, a JSON list in a string, or words with `|` between them."""
    if isinstance(value, str):
        value = _split(value)
    elif isinstance(value, bool | int | float):
        value = (value,)
    if value is None or isinstance(value, Problem):
        return value
    found = [word(item) for item in value]
    problems = (item for item in found if isinstance(item, Problem))
    return next(problems, tuple(item for item in found if item is not None))


def _split(value: str) -> Sequence[str | float] | Problem | None:
    if not value.strip():
        return None
    if not value.lstrip().startswith("["):
        return value.split(SEPARATOR)
    try:
        return json.loads(value)
    except ValueError as error:
        return Problem("label_malformed", f"the labels are no JSON list: {error}")
