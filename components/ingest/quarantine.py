"""What cannot be used, and why."""

from collections import Counter
from pathlib import Path

import pyarrow as pa

from components.common.errors import InputError
from components.data.tables import QUARANTINE, TableWriter

TYPES = pa.schema([(column, pa.string()) for column in QUARANTINE.columns])


class Quarantine(TableWriter):
    """The table of bad rows while it is written; counts them by reason.

    Attributes:
        path: of the table.
        reasons: how many rows have each reason.
    """

    def __init__(self, path: Path):
        super().__init__(path, QUARANTINE, TYPES)
        self.path = path
        self.reasons: Counter[str] = Counter()
        self._first: dict | None = None

    def __exit__(self, kind, error, trace) -> None:
        """Write the file also when a mistake of the user's stops the stage: they need it then."""
        mistake = kind is not None and issubclass(kind, InputError)
        super().__exit__(*(None, None, None) if mistake else (kind, error, trace))

    def put(self, line: str, asset: str | None, reason: str, detail: str) -> None:
        """Take a row of the source."""
        row = {"source_line": line, "asset": asset, "reason": reason, "detail": detail}
        self._first = self._first or row
        self.reasons[reason] += 1
        self.add(row)

    def refuse(self, rows: int, limit: float) -> None:
        """Stop if more than the share `limit` of the source's rows is bad, or every one.

        Raises:
            InputError: names the ten most common reasons and the first bad row.
        """
        bad = self.reasons.total()
        if not rows:
            raise InputError("the source has no rows. Mend the section of ingest.source")
        if bad > limit * rows or bad == rows:
            reasons = ", ".join(f"{name} ({count})" for name, count in self.reasons.most_common(10))
            first = self._first
            asset = f", {first['asset']}" if first["asset"] else ""
            raise InputError(
                f"{bad} of {rows} rows of the source are bad, ingest.max_bad_fraction allows "
                f"{limit:.2%}. Reasons: {reasons}. First: row {first['source_line']}{asset}: "
                f"{first['detail']}. All of them: {self.path}"
            )
