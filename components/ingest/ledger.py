"""Index of the rows and files of a source, on disk, so that memory does not grow with it."""

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from components.common.errors import Problem
from components.data.samples import SPLITS, Split

BITS: dict[Split, int] = {split: 1 << place for place, split in enumerate(SPLITS)}  # test: highest

CACHE_SIZE = 8192  # files, uses, and labels
PRAGMAS = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192;"  # KiB

SCHEMA = """
CREATE TABLE rows (
  row_id TEXT PRIMARY KEY, place TEXT, group_id TEXT, open INTEGER
) WITHOUT ROWID;
CREATE TABLE files (
  modality TEXT, key TEXT, asset_id TEXT, reason TEXT, detail TEXT, PRIMARY KEY (modality, key)
) WITHOUT ROWID;
CREATE TABLE labels (
  task TEXT, modality TEXT, asset_id TEXT, label TEXT, PRIMARY KEY (task, modality, asset_id, label)
) WITHOUT ROWID;
CREATE TABLE assets (
  modality TEXT, asset_id TEXT, splits INTEGER NOT NULL DEFAULT 0, given INTEGER NOT NULL DEFAULT 0,
  fingerprint BLOB, length REAL, labelled INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (modality, asset_id)
) WITHOUT ROWID;
CREATE TABLE copies (
  modality TEXT, asset_id TEXT, copy TEXT, split TEXT, PRIMARY KEY (modality, asset_id)
) WITHOUT ROWID;
"""

LATE = (  # group and splits of rows that had none, which the source gives later rows of the group
    "SELECT group_id, given FROM rows JOIN assets ON asset_id = group_id "
    "WHERE open AND modality = ? AND given"
)


class Ledger:
    """Rows, files and assets seen so far, and the splits of each asset.

    Groups of rows are kept as the assets of the column that names them. All of it is in one SQLite
    file without a journal, since it is worthless after a crash. Recent answers are cached, since
    rows that share files stand together.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript(PRAGMAS)
        self._database.executescript(SCHEMA)
        self._database.execute("BEGIN")
        self._files: dict[tuple[str, str], str | Problem] = {}
        self._uses: set[tuple[str, str, Split]] = set()
        self._given: set[tuple[str, str, Split | None]] = set()
        self._labels: set[tuple[str, str, str, str]] = set()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_) -> None:
        self._database.close()
        self._path.unlink()

    def add_row(self, row_id: str, place: str = "") -> str | None:
        """Add a row; return the place of an earlier row with its id, None if it is new."""
        command = "INSERT OR IGNORE INTO rows (row_id, place) VALUES (?, ?)"
        if self._database.execute(command, (row_id, place)).rowcount == 1:
            return None
        query = "SELECT place FROM rows WHERE row_id = ?"
        return self._database.execute(query, (row_id,)).fetchone()[0]

    def add_group(self, row_id: str, kind: str, group: str, given: Split | None) -> None:
        """Record the group of a row, and the split that the source gives it or an earlier row.

        `kind` is the column that names the groups, or a modality, whose assets they are.
        """
        command = "UPDATE rows SET group_id = ?, open = ? WHERE row_id = ?"
        self._database.execute(command, (group, given is None, row_id))
        if (kind, group, given) in self._given:
            return
        self.add_asset(kind, group)
        if given is not None:
            command = "UPDATE assets SET given = given | ? WHERE modality = ? AND asset_id = ?"
            self._database.execute(command, (BITS[given], kind, group))
        if len(self._given) == CACHE_SIZE:
            self._given.clear()
        self._given.add((kind, group, given))

    def group(self, row_id: str) -> str | None:
        """Return the group of a row; None if it has none."""
        found = self._database.execute("SELECT group_id FROM rows WHERE row_id = ?", (row_id,))
        return next(found, (None,))[0]

    def given_split(self, kind: str, group: str) -> Split | None:
        """Return the last split (train, validation, test) that the source gives rows of a group."""
        query = "SELECT given FROM assets WHERE modality = ? AND asset_id = ?"
        (given,) = self._database.execute(query, (kind, group)).fetchone() or (0,)
        return SPLITS[given.bit_length() - 1] if given else None

    def has_late_splits(self, kind: str) -> bool:
        """Return whether `late_split` has one for any row."""
        return bool(self._number(f"SELECT EXISTS ({LATE})", kind))

    def late_split(self, kind: str, row_id: str) -> tuple[str, Split] | None:
        """Return the group of a row that had no split when it came, and that of later rows of it.

        None if it had one, or no row of its group has.
        """
        found = self._database.execute(f"{LATE} AND row_id = ?", (kind, row_id)).fetchone()
        return found and (found[0], SPLITS[found[1].bit_length() - 1])

    def file(self, modality: str, key: str) -> str | Problem | None:
        """Return the asset id of a file, or what is wrong with it; None if the file is new."""
        if known := self._files.get((modality, key)):
            return known
        query = "SELECT asset_id, reason, detail FROM files WHERE modality = ? AND key = ?"
        if (found := self._database.execute(query, (modality, key)).fetchone()) is None:
            return None
        asset_id, reason, detail = found
        known = Problem(reason, detail) if asset_id is None else asset_id
        if len(self._files) == CACHE_SIZE:
            self._files.clear()
        self._files[modality, key] = known
        return known

    def add_file(self, modality: str, key: str, found: str | Problem) -> None:
        """Add a file: its asset id, or what is wrong with it."""
        bad = isinstance(found, Problem)
        known = (None, found.reason, found.detail) if bad else (found, "", "")
        self._database.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", (modality, key, *known))

    def add_asset(
        self,
        modality: str,
        asset_id: str,
        fingerprint: bytes | None = None,
        length: float | None = None,
    ) -> bool:
        """Add an asset; return whether its bytes are new."""
        columns = "(modality, asset_id, fingerprint, length)"
        command = f"INSERT OR IGNORE INTO assets {columns} VALUES (?, ?, ?, ?)"
        row = (modality, asset_id, fingerprint, length)
        return self._database.execute(command, row).rowcount == 1

    def add_use(self, modality: str, asset_id: str, split: Split) -> None:
        """Record that a sample of a split has an asset."""
        use = (modality, asset_id, split)
        if use in self._uses:
            return
        command = "UPDATE assets SET splits = splits | ? WHERE modality = ? AND asset_id = ?"
        self._database.execute(command, (BITS[split], modality, asset_id))
        if len(self._uses) == CACHE_SIZE:
            self._uses.clear()
        self._uses.add(use)

    def clear_uses(self) -> None:
        """Forget which splits have which asset."""
        self._database.execute("UPDATE assets SET splits = 0")
        self._uses.clear()

    def has_uses(self, modality: str) -> bool:
        """Return whether a sample has an asset of a modality."""
        query = "SELECT EXISTS (SELECT 1 FROM assets WHERE modality = ? AND splits)"
        return bool(self._number(query, modality))

    def later_split(self, modality: str, asset_id: str, split: Split) -> Split | None:
        """Return the last split (train, validation, test) with the asset if it is after `split`."""
        query = "SELECT splits FROM assets WHERE modality = ? AND asset_id = ?"
        splits = self._number(query, modality, asset_id)
        last = SPLITS[splits.bit_length() - 1]
        return last if BITS[last] > BITS[split] else None

    def leaks(self, modality: str, limit: int) -> tuple[int, dict[str, list[Split]]]:
        """Return the number of assets in more than one split, and the splits of the first by id."""
        shared = "modality = ? AND splits & (splits - 1)"  # more than one bit
        count = self._number(f"SELECT count(*) FROM assets WHERE {shared}", modality)
        rows = self._database.execute(
            f"SELECT asset_id, splits FROM assets WHERE {shared} ORDER BY asset_id LIMIT ?",
            (modality, limit),
        )
        return count, {
            asset: [split for split in SPLITS if splits & BITS[split]] for asset, splits in rows
        }

    def used(self, kind: str) -> Iterator[tuple[str, int]]:
        """Yield the assets, or groups, that samples have, and the bits of their splits."""
        query = "SELECT asset_id, splits FROM assets WHERE modality = ? AND splits"
        yield from self._database.execute(query, (kind,))

    def add_label(self, task: str, modality: str, asset_id: str, label: str) -> None:
        """Record that a sample with an asset has a label of a task."""
        row = (task, modality, asset_id, label)
        if row in self._labels:
            return
        self._database.execute("INSERT OR IGNORE INTO labels VALUES (?, ?, ?, ?)", row)
        if len(self._labels) == CACHE_SIZE:
            self._labels.clear()
        self._labels.add(row)

    def labels(self, task: str, modality: str, asset_id: str) -> list[str]:
        """Return the different labels of an asset, sorted."""
        query = "SELECT label FROM labels WHERE task = ? AND modality = ? AND asset_id = ?"
        rows = self._database.execute(f"{query} ORDER BY label", (task, modality, asset_id))
        return [label for (label,) in rows]

    def labelled(self, task: str, modality: str) -> int:
        """Return the number of assets with a label of a task."""
        query = "SELECT count(DISTINCT asset_id) FROM labels WHERE task = ? AND modality = ?"
        return self._number(query, task, modality)

    def conflicts(self, task: str, modality: str, limit: int) -> tuple[int, dict[str, list[str]]]:
        """Return the number of assets with several labels of a task, and the first by id."""
        several = (
            "SELECT asset_id FROM labels WHERE task = ? AND modality = ? "
            "GROUP BY asset_id HAVING count(*) > 1"
        )
        count = self._number(f"SELECT count(*) FROM ({several})", task, modality)
        first = f"{several} ORDER BY asset_id LIMIT ?"
        rows = self._database.execute(first, (task, modality, limit)).fetchall()
        return count, {asset: self.labels(task, modality, asset) for (asset,) in rows}

    def count_labels(self, modality: str, counts: Iterable[tuple[str, int]]) -> None:
        """Record how many labels some samples with an asset have: asset id and number."""
        command = "UPDATE assets SET labelled = labelled + ? WHERE modality = ? AND asset_id = ?"
        rows = ((number, modality, asset_id) for asset_id, number in counts)
        self._database.executemany(command, rows)

    def labels_by_length(self, modality: str) -> Iterator[tuple[float, int]]:
        """Yield each length of assets, the shortest first, and the labels that they have."""
        yield from self._database.execute(
            "SELECT length, sum(labelled) FROM assets WHERE modality = ? AND length IS NOT NULL "
            "AND labelled GROUP BY length ORDER BY length",
            (modality,),
        )

    def fingerprints(self, modality: str, split: Split, count: int) -> Iterator[list[tuple]]:
        """Yield asset ids and fingerprints of a split, so many at a time."""
        rows = self._database.execute(
            "SELECT asset_id, fingerprint FROM assets "
            "WHERE modality = ? AND splits & ? AND fingerprint IS NOT NULL",
            (modality, BITS[split]),
        )
        while found := rows.fetchmany(count):
            yield found

    def add_copy(self, modality: str, asset_id: str, copy: str, split: Split) -> None:
        """Record that a split has a copy of an asset with other bytes; the first one counts."""
        row = (modality, asset_id, copy, split)
        self._database.execute("INSERT OR IGNORE INTO copies VALUES (?, ?, ?, ?)", row)

    def copy(self, modality: str, asset_id: str) -> tuple[str, Split] | None:
        """Return the copy of an asset, and the split that has it."""
        query = "SELECT copy, split FROM copies WHERE modality = ? AND asset_id = ?"
        return self._database.execute(query, (modality, asset_id)).fetchone()

    def copies(self, modality: str, limit: int) -> tuple[int, list[tuple[str, str, Split]]]:
        """Return how many assets have a copy, and the first by id: asset, copy, and its split."""
        count = self._number("SELECT count(*) FROM copies WHERE modality = ?", modality)
        query = "SELECT asset_id, copy, split FROM copies WHERE modality = ?"
        rows = self._database.execute(f"{query} ORDER BY asset_id LIMIT ?", (modality, limit))
        return count, rows.fetchall()

    def duplicates(self, modality: str) -> int:
        """Return the number of usable files with the same bytes as an earlier one."""
        files = self._number("SELECT count(asset_id) FROM files WHERE modality = ?", modality)
        return files - self._number("SELECT count(*) FROM assets WHERE modality = ?", modality)

    def count(self, modality: str, split: Split) -> int:
        """Return the number of distinct assets of a modality in the samples of a split."""
        query = "SELECT count(*) FROM assets WHERE modality = ? AND splits & ?"
        return self._number(query, modality, BITS[split])

    def _number(self, query: str, *values: str | int) -> int:
        """Return the number that a query gives."""
        return self._database.execute(query, values).fetchone()[0]
