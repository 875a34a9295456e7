"""What is known of the files and rows of a source, on disk: memory stays flat however many."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from components.common.errors import Problem
from components.data.tables import SPLITS, Split
from components.modalities.registry import Modality

BITS: dict[Split, int] = {split: 1 << place for place, split in enumerate(SPLITS)}  # test: highest

REMEMBERED = 8192  # files, and uses

SCHEMA = """
CREATE TABLE lines (line TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE files (
  modality TEXT, key TEXT, asset_id TEXT, reason TEXT, detail TEXT, PRIMARY KEY (modality, key)
) WITHOUT ROWID;
CREATE TABLE assets (
  modality TEXT, asset_id TEXT, splits INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (modality, asset_id)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Leak:
    """An asset that occurs in more than one split."""

    modality: Modality
    asset_id: str
    splits: tuple[Split, ...]


class Ledger:
    """Rows, files and assets that were met, and the splits of each asset.

    It lives in one SQLite file without a journal: it is worth nothing after a crash. What was
    asked lately is remembered, since rows that share files stand together.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        self._database.executescript(SCHEMA)
        self._database.execute("BEGIN")
        self._files: dict[tuple[Modality, str], str | Problem] = {}
        self._uses: set[tuple[Modality, str, Split]] = set()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_) -> None:
        self._database.close()
        self._path.unlink()

    def new_line(self, line: str) -> bool:
        """Note a row; False if one of this name was there before."""
        done = self._database.execute("INSERT OR IGNORE INTO lines VALUES (?)", (line,))
        return done.rowcount == 1

    def file(self, modality: Modality, key: str) -> str | Problem | None:
        """The asset id of a file, or what is wrong with it; None if it was never met."""
        if known := self._files.get((modality, key)):
            return known
        found = self._database.execute(
            "SELECT asset_id, reason, detail FROM files WHERE modality = ? AND key = ?",
            (modality, key),
        ).fetchone()
        if found is None:
            return None
        asset_id, reason, detail = found
        known = Problem(reason, detail) if asset_id is None else asset_id
        if len(self._files) == REMEMBERED:
            self._files.clear()
        self._files[modality, key] = known
        return known

    def add_file(self, modality: Modality, key: str, found: str | Problem) -> None:
        """Note a file: its asset id, or what is wrong with it."""
        known = (
            (None, found.reason, found.detail) if isinstance(found, Problem) else (found, "", "")
        )
        self._database.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", (modality, key, *known))

    def new_asset(self, modality: Modality, asset_id: str) -> bool:
        """Note an asset; False if another file held the same bytes."""
        done = self._database.execute(
            "INSERT OR IGNORE INTO assets (modality, asset_id) VALUES (?, ?)", (modality, asset_id)
        )
        return done.rowcount == 1

    def use(self, modality: Modality, asset_id: str, split: Split) -> None:
        """Note that a sample of a split has an asset."""
        use = (modality, asset_id, split)
        if use in self._uses:
            return
        self._database.execute(
            "UPDATE assets SET splits = splits | ? WHERE modality = ? AND asset_id = ?",
            (BITS[split], modality, asset_id),
        )
        if len(self._uses) == REMEMBERED:
            self._uses.clear()
        self._uses.add(use)

    def forget_uses(self) -> None:
        """Forget which splits have which asset."""
        self._database.execute("UPDATE assets SET splits = 0")
        self._uses.clear()

    def later_split(self, modality: Modality, asset_id: str, split: Split) -> Split | None:
        """The last split that has the asset, if it comes after `split`: train, validation, test."""
        (splits,) = self._database.execute(
            "SELECT splits FROM assets WHERE modality = ? AND asset_id = ?", (modality, asset_id)
        ).fetchone()
        last = SPLITS[splits.bit_length() - 1]
        return last if BITS[last] > BITS[split] else None

    def leaks(self, modality: Modality, limit: int) -> tuple[int, list[Leak]]:
        """How many assets occur in more than one split, and the first `limit` of them by id."""
        shared = "modality = ? AND splits & (splits - 1)"  # more than one bit
        (count,) = self._database.execute(
            f"SELECT count(*) FROM assets WHERE {shared}", (modality,)
        ).fetchone()
        rows = self._database.execute(
            f"SELECT asset_id, splits FROM assets WHERE {shared} ORDER BY asset_id LIMIT ?",
            (modality, limit),
        )
        return count, [
            Leak(modality, asset_id, tuple(split for split in SPLITS if splits & BITS[split]))
            for asset_id, splits in rows
        ]

    def duplicates(self, modality: Modality) -> int:
        """How many usable files hold the same bytes as another that came before."""
        (files,) = self._database.execute(
            "SELECT count(asset_id) FROM files WHERE modality = ?", (modality,)
        ).fetchone()
        (assets,) = self._database.execute(
            "SELECT count(*) FROM assets WHERE modality = ?", (modality,)
        ).fetchone()
        return files - assets

    def count(self, modality: Modality, split: Split) -> int:
        """How many distinct assets of a modality the samples of a split have."""
        (count,) = self._database.execute(
            "SELECT count(*) FROM assets WHERE modality = ? AND splits & ?", (modality, BITS[split])
        ).fetchone()
        return count
