"""Remarks: what looks like a mistake though every asset can be used."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from components.data.shards import read_index, read_media
from components.modalities.registry import MODALITIES, modality, remarks_of

SHARDS = 20  # of a modality, at most, from which assets are looked at
CELLS, FILES = 5_000, 100  # assets that are looked at, of cells of tables and of files


def remarks(media: Path) -> dict[str, list[str]]:
    """Return what the modalities say about some of their stored assets, without those silent."""
    parts = {m: part for m in MODALITIES if (part := remarks_of(m))}
    found = {
        m: part.remarks(list(_some(media / m, CELLS if modality(m).is_inline else FILES)))
        for m, part in parts.items()
    }
    return {m: said for m, said in found.items() if said}


def _some(media: Path, count: int) -> Iterator[bytes]:
    """Yield contents of about as many assets, from shards all over the set."""
    shards = read_index(media)
    chosen = shards[:: max(1, -(-len(shards) // SHARDS))]
    for shard in chosen:
        yield from islice(read_media(media, shard), -(-count // len(chosen)))
