"""Decodes rows: JSON objects, column → cell."""

import json
import math

from components.modalities.modality import UnusableAsset

MISSING = {"", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "?"}  # in lower case
NUMBERS = 0.95  # of the cells of a column, which then is a quantity; the others count as missing

Cells = dict[str, str]  # by column, those that are not missing


def decode(content: bytes) -> Cells:
    """Return the cells of a row; numbers as text, as tables have them.

    Raises:
        UnusableAsset: it is not a JSON object, a cell is neither text nor number, or all are
            missing.
    """
    try:
        row = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise UnusableAsset("tabular_malformed", f"the row is not JSON: {error}") from error
    if not isinstance(row, dict):
        example = '{"age": 3, "breed": "tabby"}'
        detail = f"found {str(row)[:40]!r}, expected a JSON object, as {example}"
        raise UnusableAsset("tabular_malformed", detail)
    cells = {column: _text(column, value) for column, value in row.items()}
    present = {column: text for column, text in cells.items() if text.casefold() not in MISSING}
    if not present:
        raise UnusableAsset("tabular_empty", "every cell of the row is missing")
    return present


def _text(column: str, value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value.strip()
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case int() | float():
            return str(value)
    detail = f"the column {column!r} holds {str(value)[:40]!r}, expected a text or a number"
    raise UnusableAsset("tabular_malformed", detail)


def number(text: str) -> float:
    """Return a cell as a number; NaN if it is none."""
    try:
        found = float(text)
    except ValueError:
        return math.nan
    return found if math.isfinite(found) else math.nan
