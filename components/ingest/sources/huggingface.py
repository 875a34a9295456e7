"""Hugging Face data sets: what `save_to_disk` of the library `datasets` wrote, or Parquet shards.

Neither needs that library: both are columnar files of Arrow's with a little JSON beside them.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.common.errors import InputError
from components.data.tables import Split
from components.ingest.record import Rows
from components.ingest.settings import HuggingFaceSettings
from components.ingest.sources.files import SPLIT_NAMES, lies_below, source_path, surroundings
from components.ingest.sources.table import (
    BATCH,
    File,
    Parquet,
    Row,
    batch_rows,
    class_names,
    records,
    schema_features,
    value_columns,
)

SHARD = re.compile(r"(?P<split>.+?)-\d{5}-of-\d{5}.*")  # train-00000-of-00002


def read(settings: HuggingFaceSettings, root: Path) -> Rows:
    """Every row of a data set, shard by shard.

    The names of its parts (folders of a DatasetDict, or Parquet files) give the splits. If there
    is only one, the data set is not split: the records have no split, and ingest cuts them.

    Raises:
        InputError: the folder holds no data set, a part of it is missing or has an unknown name,
            or a column that is mapped is missing.
    """
    root = root.resolve()
    folder = source_path(root, settings.path, "ingest.huggingface.path")
    files = _files(folder, root)
    if len({split for _, split in files}) == 1:
        files = [(file, None) for file, _ in files]
    return records(files, settings, root, "ingest.huggingface")


def _files(folder: Path, root: Path) -> list[tuple[File, Split | None]]:
    """The shards of a data set with their splits."""
    if (folder / "dataset_dict.json").exists():
        names = _json(folder / "dataset_dict.json", "splits")
        return [
            (shard, _split(name, folder)) for name in names for shard in _saved(folder / name, root)
        ]
    if (folder / "state.json").exists():
        return [(shard, None) for shard in _saved(folder, root)]
    paths = sorted(path for path in folder.rglob("*.parquet") if lies_below(root, path))
    if not paths:
        raise InputError(
            f"ingest.huggingface.path: {folder} holds no data set, expected dataset_dict.json or "
            f"state.json as save_to_disk writes them, or *.parquet. {surroundings(folder / '*')}"
        )
    splits = [_split_of_file(path) for path in paths]
    if None in splits and any(splits):
        raise InputError(
            f"ingest.huggingface.path: the name of {paths[splits.index(None)]} says no split, and "
            "others do. Rename it, as train-00000-of-00001.parquet, or give a folder without it"
        )
    files = [Parquet(path, path.relative_to(root).as_posix()) for path in paths]
    return list(zip(files, splits, strict=True))


def _split(name: str, where: Path) -> Split:
    if name.casefold() not in SPLIT_NAMES:
        raise InputError(
            f"ingest.huggingface.path: {where} has a split {name!r}, expected one of: "
            f"{', '.join(SPLIT_NAMES)}. Save the data set without it or under another name"
        )
    return SPLIT_NAMES[name.casefold()]


def _split_of_file(path: Path) -> Split | None:
    """By the name of the shard, or else of its folder."""
    if shard := SHARD.fullmatch(path.stem):
        return _split(shard["split"], path)
    for name in (path.stem, path.parent.name):
        if name.casefold() in SPLIT_NAMES:
            return SPLIT_NAMES[name.casefold()]
    return None


def _saved(folder: Path, root: Path) -> list["Arrow"]:
    """The shards of one folder that `save_to_disk` wrote."""
    features = _json(folder / "dataset_info.json", "features") or {}
    shards = []
    for file in _json(folder / "state.json", "_data_files"):
        path = folder / file["filename"]
        if not path.exists() or not lies_below(root, path):
            raise InputError(
                f"{path} is missing, and {folder / 'state.json'} names it. Copy the whole folder"
            )
        shards.append(Arrow(path, path.relative_to(root).as_posix(), class_names(features)))
    return shards


def _json(path: Path, key: str) -> Any:
    try:
        return json.loads(path.read_bytes())[key]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be used, expected JSON with {key!r} as save_to_disk writes it: "
            f"{error!r}. Save the data set again"
        ) from error


class Arrow:
    """A shard of `save_to_disk`: a stream of Arrow's record batches."""

    def __init__(self, path: Path, name: str, classes: dict[str, list[str]]):
        self.path, self.name = path, name
        try:
            with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
                schema = stream.schema
        except (pa.ArrowException, OSError) as error:
            raise self._broken(error) from error
        self._classes = class_names(schema_features(schema, path)) | classes
        self.columns = tuple(schema.names)
        self.values = value_columns(schema)

    def rows(self, columns: Iterable[str]) -> Iterator[Row]:
        """Every row; its place is its number from 0, as `datasets` counts within a shard.

        Raises:
            InputError: the stream breaks off.
        """
        wanted = [column for column in self.columns if column in set(columns)]
        number = 0
        with pa.memory_map(str(self.path)) as source, pa.ipc.open_stream(source) as stream:
            while (batch := self._next(stream)) is not None:
                for start in range(0, batch.num_rows, BATCH):
                    piece = batch.slice(start, BATCH).select(wanted)
                    yield from batch_rows(piece, self._classes, self.name, number + start)
                number += batch.num_rows

    def _next(self, stream: pa.RecordBatchReader) -> pa.RecordBatch | None:
        try:
            return stream.read_next_batch()
        except StopIteration:
            return None
        except (pa.ArrowException, OSError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> InputError:
        return InputError(
            f"{self.path} is no whole Arrow stream: {error}. Copy it again, or save the data set "
            "again"
        )
