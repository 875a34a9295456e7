"""Hugging Face data sets: folders that `datasets` saved with `save_to_disk`, or Parquet shards.

Both are columnar files with a little JSON beside them, so that the library is not needed.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from components.common.errors import InputError, listed
from components.data.samples import Split
from components.ingest.records import Rows
from components.ingest.sources.files import (
    SPLIT_NAMES,
    lies_below,
    source_path,
    splits_in_names,
    surroundings,
)
from components.ingest.sources.source import Source, SourceContext
from components.ingest.sources.table import Columnar, ColumnSettings, File, Parquet, Row, records

PARTS, PART = "dataset_dict.json", "state.json"  # which save_to_disk writes
SHARD = re.compile(r"(?P<split>.+?)-\d{5}-of-\d{5}.*")  # train-00000-of-00002


class HuggingFaceSettings(ColumnSettings):
    """Options of a Hugging Face data set."""

    kind: Literal["huggingface"] = "huggingface"
    path: str
    """Folder that `datasets` saved, or of Parquet shards."""


def read(settings: HuggingFaceSettings, context: SourceContext) -> Rows:
    """Return every row of a data set, shard by shard.

    The names of its parts (folders of a DatasetDict, or Parquet files) are the splits. If there is
    only one, the data set is not split: the records have no split, and ingest assigns one. Raises
    `InputError` if the folder holds no data set, a part of it is missing or has an unknown name, or
    a column that is mapped is missing.
    """
    root = context.root.resolve()
    folder = source_path(root, settings.path, "ingest.source.path")
    files = data_set_files(folder, root)
    if len({split for _, split in files}) == 1:
        files = [(file, None) for file, _ in files]
    return records(files, settings, root)


def is_data_set(folder: Path) -> bool:
    """Return whether a folder looks like a data set."""
    saved = any((folder / name).exists() for name in (PARTS, PART))
    return saved or any(folder.rglob("*.parquet"))


def data_set_files(folder: Path, root: Path) -> list[tuple[File, Split | None]]:
    """Return the shards of a data set with their splits."""
    if (folder / PARTS).exists():
        names = _json(folder / PARTS, "splits")
        return [
            (shard, _split(name, folder)) for name in names for shard in _saved(folder / name, root)
        ]
    if (folder / PART).exists():
        return [(shard, None) for shard in _saved(folder, root)]
    paths = sorted(path for path in folder.rglob("*.parquet") if lies_below(root, path))
    if not paths:
        raise InputError(
            f"ingest.source.path: {folder} is not a data set, expected {PARTS} or {PART} as "
            f"save_to_disk writes them, or *.parquet. {surroundings(folder / '*')}"
        )
    splits: list[Split | None] = [_split_of_file(path) for path in paths]
    if None in splits and any(splits):
        raise InputError(
            f"ingest.source.path: the name of {paths[splits.index(None)]} names no split, and "
            "others do. Rename it, as train-00000-of-00001.parquet, or give a folder without it"
        )
    if None in splits and len(found := splits_in_names(paths)) > 1:
        raise InputError(
            f"ingest.source.path: the files are called like splits ({listed(sorted(found))}), but "
            f"not as expected: {paths[0]}. Rename them, as train-00000-of-00001.parquet"
        )
    return [
        (Parquet(path, path.relative_to(root).as_posix()), split)
        for path, split in zip(paths, splits, strict=True)
    ]


def _split(name: str, where: Path) -> Split:
    if name.casefold() not in SPLIT_NAMES:
        raise InputError(
            f"ingest.source.path: {where} has a split {name!r}, expected one of: "
            f"{', '.join(SPLIT_NAMES)}. Save the data set without it or under another name"
        )
    return SPLIT_NAMES[name.casefold()]


def _split_of_file(path: Path) -> Split | None:
    """Return the split in the name of the shard, or else of its folder."""
    if shard := SHARD.fullmatch(path.stem):
        return _split(shard["split"], path)
    for name in (path.stem, path.parent.name):
        if name.casefold() in SPLIT_NAMES:
            return SPLIT_NAMES[name.casefold()]
    return None


def _saved(folder: Path, root: Path) -> list["Arrow"]:
    """Return the shards of one folder that `save_to_disk` wrote."""
    features = _json(folder / "dataset_info.json", "features") or {}
    shards = []
    for file in _json(folder / PART, "_data_files"):
        path = folder / file["filename"]
        if not path.exists() or not lies_below(root, path):
            raise InputError(
                f"{path} is missing, and {folder / PART} names it. Copy the whole folder"
            )
        shards.append(Arrow(path, path.relative_to(root).as_posix(), features))
    return shards


def _json(path: Path, key: str) -> Any:
    try:
        return json.loads(path.read_bytes())[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be used, expected JSON with {key!r} as save_to_disk writes it: "
            f"{error!r}. Save the data set again"
        ) from error


class Arrow(Columnar):
    """A shard of `save_to_disk`: a stream of Arrow record batches."""

    def __init__(self, path: Path, name: str, features: Mapping[str, Any]):
        self.path = path
        with self._stream() as stream:
            super().__init__(path, name, stream.schema, features)

    def rows(self, columns: Iterable[str]) -> Iterator[Row]:
        """Yield every row; its place is its number from 0, as `datasets` counts within a shard."""
        wanted, number = self.wanted(columns), 0
        with self._stream() as stream:
            for batch in stream:
                yield from self.batch_rows(batch.select(wanted), number)
                number += batch.num_rows

    @contextmanager
    def _stream(self) -> Iterator[pa.RecordBatchReader]:
        """Open the stream; raise `InputError` where it turns out to be damaged or truncated."""
        try:
            with pa.memory_map(str(self.path)) as source, pa.ipc.open_stream(source) as stream:
                yield stream
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{self.path} is not a complete Arrow stream: {error}. Copy it again, or save the "
                "data set again"
            ) from error


SOURCE = Source(HuggingFaceSettings, read)
