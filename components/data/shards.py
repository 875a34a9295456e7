"""Shard sets: folders of assets whose cuts and names are functions of their content.

A set is a folder of shards and an `index.parquet` that names, in order, each asset's shard and
row. Shards are cut where the assets' own hashes say so (content-defined chunking, as in LBFS,
Muthitacharoen et al. 2001), so adding or removing assets changes only the shards around them. A
shard's name is a fingerprint of what made it, so a shard that is there need not be made again.
The index is written last: a folder without one is unfinished, and the next run continues it.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.common.files import replacing
from components.common.hashing import fingerprint
from components.data.tables import INDEX, read_table, write_table
from components.stage.progress import bar

CHUNK_ASSETS = 256  # on average
CHUNK_BYTES = 64 * 2**20  # at most, unless one asset alone is larger
READ_ASSETS = 16  # at a time


@dataclass(frozen=True)
class Asset:
    """One media file: its id (the SHA-256 of its bytes) and its bytes."""

    asset_id: str
    content: bytes


@dataclass(frozen=True)
class Shard:
    """A shard of a set: its name (also the file's stem) and the assets in it, in order."""

    name: str
    asset_ids: tuple[str, ...]


def ends_chunk(asset_id: str, count: int) -> bool:
    """Whether a chunk of `count` assets ends with this one: its hash says so, or it is full.

    Chunks hold 256 assets on average, and from a quarter of that to four times that.
    """
    by_hash = int(asset_id[:8], 16) % CHUNK_ASSETS == 0 and count >= CHUNK_ASSETS // 4
    return by_hash or count >= CHUNK_ASSETS * 4


class MediaWriter:
    """Writes assets, given once each in source order, into a media shard set.

    A shard is Parquet with the columns `asset_id` and `content`. No more than one shard's assets
    are in memory.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._shards: list[Shard] = []
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
        """Write what is left, then the index; remove shards that are no longer part of the set."""
        self._flush()
        self._folder.mkdir(parents=True, exist_ok=True)
        finish(self._folder, self._shards, ".parquet")

    def _flush(self) -> None:
        if not self._chunk:
            return
        ids = tuple(asset.asset_id for asset in self._chunk)
        shard = Shard(fingerprint(ids), ids)
        path = self._folder / f"{shard.name}.parquet"
        if not path.exists():
            content = pa.array([asset.content for asset in self._chunk], pa.large_binary())
            with replacing(path) as temporary:
                pq.write_table(
                    pa.table({"asset_id": ids, "content": content}), temporary, compression="none"
                )
        self._shards.append(shard)
        self._chunk, self._bytes = [], 0


class Contents:
    """The contents of a media shard's assets, in order: as many as `len`, read a few at a time.

    Few, since the same little memory, used again and again, is faster than a shard's at once.
    """

    def __init__(self, path: Path, count: int):
        self._path, self._count = path, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        with pq.ParquetFile(self._path, memory_map=True) as file:
            for batch in file.iter_batches(READ_ASSETS, columns=["content"]):
                yield from batch.column("content").to_pylist()


def read_media(folder: Path, shard: Shard) -> Contents:
    """The contents of a media shard's assets, in order."""
    return Contents(folder / f"{shard.name}.parquet", len(shard.asset_ids))


def media_of(folder: Path, wanted: Set[str]) -> Iterator[tuple[str, bytes]]:
    """Id and content of the wanted assets of a media shard set, in order.

    Only shards that hold one are read; an asset that the set does not have is passed over.
    """
    for shard in read_index(folder):
        if not wanted.isdisjoint(shard.asset_ids):
            pairs = zip(shard.asset_ids, read_media(folder, shard), strict=True)
            yield from ((asset, content) for asset, content in pairs if asset in wanted)


def finish(folder: Path, shards: Sequence[Shard], suffix: str) -> None:
    """Write the index of a set whose shards are all there, then delete what it does not name."""
    columns = {
        "asset_id": [asset for shard in shards for asset in shard.asset_ids],
        "shard": [shard.name for shard in shards for _ in shard.asset_ids],
        "row": [row for shard in shards for row in range(len(shard.asset_ids))],
    }
    index = pd.DataFrame(columns)
    write_table(folder / "index.parquet", index, INDEX)
    keep = {f"{shard.name}{suffix}" for shard in shards} | {"index.parquet"}
    for path in folder.iterdir():
        if path.name not in keep:
            path.unlink()


def read_index(folder: Path) -> list[Shard]:
    """The shards of a finished set, in order.

    Raises:
        InputError: the set has no index, or one that breaks its schema.
    """
    index = read_table(folder / "index.parquet", INDEX)
    ids, names = index["asset_id"].tolist(), index["shard"].tolist()
    starts = index.index[index["row"] == 0].tolist()
    bounds = pairwise([*starts, len(index)])
    return [Shard(names[start], tuple(ids[start:end])) for start, end in bounds]


def transform(
    source: Path,
    target: Path,
    convert: Callable[[Shard, Path], None],
    recipe: Sequence,
    workers: int,
    label: str,
) -> int:
    """Make a shard set from another, shard by shard, computing only the shards not there yet.

    Args:
        source: a finished set.
        target: the folder of the new set (`.safetensors` shards).
        convert: writes one shard of `source` to the path given; pure, and picklable if
            `workers` is more than one.
        recipe: everything besides the assets that decides the result (parameters, weights,
            the version of the code): it becomes part of each shard's name.
        workers: processes; the bytes do not depend on it.
        label: what the progress bar calls the work.

    Returns:
        How many shards were computed.
    """
    target.mkdir(parents=True, exist_ok=True)
    shards = read_index(source)
    renamed = [Shard(fingerprint(shard.name, list(recipe)), shard.asset_ids) for shard in shards]
    jobs = [
        (old, target / f"{new.name}.safetensors")
        for old, new in zip(shards, renamed, strict=True)
        if not (target / f"{new.name}.safetensors").exists()
    ]
    jobs.sort(key=lambda job: len(job[0].asset_ids), reverse=True)  # none waits for a late long one
    with bar(label=label, unit="shard", total=len(jobs)) as done:
        if workers > 1 and len(jobs) > 1:
            with ProcessPoolExecutor(min(workers, len(jobs)), get_context("fork")) as pool:
                for _ in pool.map(convert, *zip(*jobs, strict=True)):
                    done.update()
        else:
            for shard, path in jobs:
                convert(shard, path)
                done.update()
    finish(target, renamed, ".safetensors")
    return len(jobs)
