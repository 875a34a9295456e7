"""The quarantine: rows that cannot be used, and why."""

from collections import Counter
from pathlib import Path

import pandera.pandas as pandera
import pyarrow as pa

from components.common.errors import InputError
from components.data.tables import TableWriter
from components.ingest.records import BadRow

QUARANTINE = pandera.DataFrameSchema(
    {
        "row_id": pandera.Column(str),
        "asset": pandera.Column(str, nullable=True),
        "reason": pandera.Column(str, pandera.Check.str_matches(r"^[a-z0-9_]+$")),
        "detail": pandera.Column(str),
    },
    strict=True,
    name="quarantine",
)


UNUSED = "left_alone"  # reason of rows that nothing is wrong with


class Quarantine(TableWriter):
    """The table of rows that cannot be used while it is written; `reasons` counts them."""

    def __init__(self, path: Path):
        types = pa.schema([(column, pa.string()) for column in QUARANTINE.columns])
        super().__init__(path, QUARANTINE, types)
        self.path = path
        self.reasons: Counter[str] = Counter()
        self._first: BadRow | None = None

    def __exit__(self, kind, error, trace) -> None:
        """Write the file also when a mistake of the user's stops the stage: they need it then."""
        mistake = kind is not None and issubclass(kind, InputError)
        super().__exit__(*(None, None, None) if mistake else (kind, error, trace))

    def put(self, row: BadRow) -> None:
        """Take a row of the source."""
        if row.reason != UNUSED:
            self._first = self._first or row
        self.reasons[row.reason] += 1
        self.add(vars(row))

    def refuse(self, rows: int, limit: float) -> None:
        """Raise `InputError` if more than the fraction `limit` of the rows is bad, or every one."""
        if not rows:
            raise InputError("ingest.source: the source has no rows. Check its settings")
        bad, first = self.reasons.total() - self.reasons[UNUSED], self._first
        if first is not None and (bad > limit * rows or bad == rows):
            reasons = ", ".join(f"{name} ({count})" for name, count in self.reasons.most_common(10))
            asset = f", {first.asset}" if first.asset else ""
            raise InputError(
                f"{bad} of {rows} rows of the source are bad, ingest.max_bad_fraction allows "
                f"{limit:.2%}. Reasons: {reasons}. First: row {first.row_id}{asset}: "
                f"{first.detail}. All of them: {self.path}"
            )
