"""Shard sets: folders of assets, cut and named by their content.

A set is a folder of shards and an `index.parquet` with the shard and row of each asset, in order.
Shards are cut where the hashes of assets say so (content-defined chunking, as in LBFS,
Muthitacharoen et al. 2001), so adding or removing assets changes only the shards around them. The
name of a shard is a fingerprint of what made it, so an existing shard is not made again. The index
is written last: a folder without one is unfinished, and the next run continues it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.parquet as pq

from components.common.files import readable, replacing
from components.common.hashing import fingerprint
from components.common.worker_processes import run_jobs
from components.data.tables import ASSET_ID, TableWriter, read_batches, write_table
from components.stage.progress import bar

CHUNK_ASSETS = 256  # on average; at least a quarter and at most four times as many
CHUNK_BYTES = 64 * 2**20  # at most, unless one asset alone is larger
READ_ASSETS = 16  # at a time

INDEX_FILE = "index.parquet"
INDEX = pandera.DataFrameSchema(
    {
        "asset_id": pandera.Column(str, ASSET_ID, unique=True),
        "shard": pandera.Column(str, pandera.Check.str_matches(r"^[0-9a-f]{32}$")),
        "row": pandera.Column(int, pandera.Check.ge(0)),
    },
    strict=True,
    name="the index of a shard set",
)
INDEX_TYPES = pa.Schema.from_pandas(
    pd.DataFrame({"asset_id": [""], "shard": [""], "row": [0]}), preserve_index=False
)


@dataclass(frozen=True)
class Asset:
    """One media file: its id (the SHA-256 of its bytes) and its bytes."""

    asset_id: str
    content: bytes


@dataclass(frozen=True)
class Shard:
    """A shard: its name, which is also the stem of its file, and its assets in order."""

    name: str
    asset_ids: tuple[str, ...]


def ends_chunk(asset_id: str, count: int) -> bool:
    """Return whether a chunk of `count` assets ends with this one, by its hash or being full."""
    by_hash = int(asset_id[:8], 16) % CHUNK_ASSETS == 0 and count >= CHUNK_ASSETS // 4
    return by_hash or count >= CHUNK_ASSETS * 4


class MediaWriter:
    """Writes distinct assets, in source order, into a media shard set, with one shard in memory.

    A shard is Parquet with the columns `asset_id` and `content`.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._names: list[str] = []  # of the shards
        self._chunk: list[Asset] = []
        self._bytes = 0

    def add(self, asset: Asset) -> None:
        """Take the next asset."""
        if self._bytes + len(asset.content) > CHUNK_BYTES:
            self._flush()
        self._chunk.append(asset)
        self._bytes += len(asset.content)
        if ends_chunk(asset.asset_id, len(self._chunk)):
            self._flush()

    def close(self) -> None:
        """Write the last shard, then the index; remove shards that are not part of the set."""
        self._flush()
        self._folder.mkdir(parents=True, exist_ok=True)
        finish(self._folder, map(self._shard, self._names), ".parquet")

    def _shard(self, name: str) -> Shard:
        path = self._folder / f"{name}.parquet"
        with readable(path, "Parquet"):
            ids = pq.read_table(path, columns=["asset_id"])["asset_id"]
        return Shard(name, tuple(ids.to_pylist()))

    def _flush(self) -> None:
        if not self._chunk:
            return
        ids = tuple(asset.asset_id for asset in self._chunk)
        name = fingerprint(ids)
        path = self._folder / f"{name}.parquet"
        if not path.exists():
            content = pa.array([asset.content for asset in self._chunk], pa.large_binary())
            table = pa.table({"asset_id": ids, "content": content})
            with replacing(path) as temporary:
                pq.write_table(table, temporary, compression="none")
        self._names.append(name)
        self._chunk, self._bytes = [], 0


class Contents:
    """Contents of the assets of a media shard, in order, read a few at a time.

    Reusing a small buffer is faster than reading a whole shard at once.
    """

    def __init__(self, path: Path, count: int):
        self._path, self._count = path, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        with (
            readable(self._path, "Parquet"),
            pq.ParquetFile(self._path, memory_map=True) as file,
        ):
            for batch in file.iter_batches(READ_ASSETS, columns=["content"]):
                yield from batch.column("content").to_pylist()


def read_media(folder: Path, shard: Shard) -> Contents:
    """Return the contents of the assets of a media shard, in order."""
    return Contents(folder / f"{shard.name}.parquet", len(shard.asset_ids))


def read_assets(folder: Path, wanted: Set[str]) -> Iterator[tuple[str, bytes]]:
    """Yield id and content of the wanted assets of a media shard set, in order.

    Only shards with a wanted asset are read; assets that are not in the set are skipped.
    """
    for shard in iterate_index(folder):
        if not wanted.isdisjoint(shard.asset_ids):
            pairs = zip(shard.asset_ids, read_media(folder, shard), strict=True)
            yield from ((asset, content) for asset, content in pairs if asset in wanted)


def finish(folder: Path, shards: Iterable[Shard], suffix: str) -> None:
    """Write the index of a set with all its shards, then delete every other file."""
    names = []
    with TableWriter(folder / INDEX_FILE, INDEX, INDEX_TYPES) as index:
        for shard in shards:
            names.append(shard.name)
            for row, asset_id in enumerate(shard.asset_ids):
                index.add({"asset_id": asset_id, "shard": shard.name, "row": row})
    if not names:
        write_table(folder / INDEX_FILE, pd.DataFrame(columns=list(INDEX.columns)), INDEX)
    keep = {f"{name}{suffix}" for name in names} | {INDEX_FILE}
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()


def iterate_index(folder: Path) -> Iterator[Shard]:
    """Yield the shards of a set, in order, with one batch of the index in memory.

    Raises `InputError` if the set is not finished.
    """
    batches = read_batches(folder / INDEX_FILE, INDEX)
    columns = ((batch["shard"].tolist(), batch["asset_id"].tolist()) for batch in batches)
    rows = chain.from_iterable(zip(*pair, strict=True) for pair in columns)
    for name, assets in groupby(rows, itemgetter(0)):
        yield Shard(name, tuple(asset_id for _, asset_id in assets))


def read_index(folder: Path) -> list[Shard]:
    """Return the shards of a set, in order; raise `InputError` if it is not finished."""
    return list(iterate_index(folder))


def transform(
    source: Path,
    target: Path,
    convert: Callable[[Shard, Path], None],
    cache_key: Sequence,
    workers: int,
    label: str,
    run: Callable[..., Iterator[None]] = run_jobs,
) -> int:
    """Make a set of `.safetensors` shards from another set; return how many had to be computed.

    Args:
        source: a finished set.
        target: the folder of the new set.
        convert: writes one shard of `source` to the path given; pure, and picklable if
            `workers` is more than one.
        cache_key: everything besides the assets that decides the result: parameters, weights,
            code. It becomes part of the name of each shard.
        workers: processes; the bytes do not depend on it.
        label: of the progress bar.
        run: has `convert` done by the workers.
    """
    target.mkdir(parents=True, exist_ok=True)
    shards = read_index(source)
    renamed = [Shard(fingerprint(shard.name, list(cache_key)), shard.asset_ids) for shard in shards]
    paths = [target / f"{shard.name}.safetensors" for shard in renamed]
    jobs = [job for job in zip(shards, paths, strict=True) if not job[1].exists()]
    jobs.sort(key=lambda job: len(job[0].asset_ids), reverse=True)  # long ones first
    with bar(label=label, unit="shard", total=len(jobs)) as done:
        for _ in run(convert, jobs, workers):
            done.update()
    finish(target, renamed, ".safetensors")
    return len(jobs)
