"""How far long work is: on a terminal, or in lines for a process that reads them."""

import os
from collections.abc import Iterable

from tqdm import tqdm

LINES = "PROGRESS_LINES"  # a variable that asks for bars, though there is no terminal


def bar(
    rows: Iterable | None = None, *, label: str, unit: str, total: int | None = None, **options
) -> tqdm:
    """A bar on a terminal, nothing in a log.

    A process that reads what this one prints may set `PROGRESS_LINES`. It then gets the bars of
    work whose end is known, as `train:  40%|####      | 80/200 [...]`, each after a carriage
    return.
    """
    asked = bool(os.environ.get(LINES) and total)
    options.setdefault("disable", False if asked else None)  # None: unless there is a terminal
    return tqdm(rows, label, total=total, unit=unit, **options)
