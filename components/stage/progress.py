"""Progress bars: on a terminal, or as lines for a process that reads them."""

import os
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

PROGRESS_LINES = "PROGRESS_LINES"  # variable that asks for bars without a terminal


def bar(
    rows: Iterable | None = None, *, label: str, unit: str, total: int | None = None, **options: Any
) -> tqdm:
    """Return a bar that is shown on a terminal, and not in a log.

    With `PROGRESS_LINES` set, bars whose total is known are printed in any case, as
    `train:  40%|####      | 80/200 [...]`, each after a carriage return.
    """
    wanted = bool(os.environ.get(PROGRESS_LINES) and total)
    options.setdefault("disable", False if wanted else None)  # None: unless there is a terminal
    return tqdm(rows, label, total=total, unit=unit, **options)
