"""Remarks: what looks like a mistake though every asset can be used."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from components.common.errors import listed
from components.common.spelling import alike, quoted
from components.data.samples import SPLITS
from components.data.shards import read_index, read_media
from components.ingest.ledger import BITS, Ledger
from components.modalities.registry import MODALITIES, modality, remarks_of

SHARDS = 20  # of a modality, at most, from which assets are looked at
GROUPS = 100_000  # that are compared
CELLS, FILES = 5_000, 100  # assets that are looked at, of cells of tables and of files


def remarks(media: Path) -> dict[str, list[str]]:
    """Return what the modalities say about some of their stored assets, without those silent."""
    parts = {m: part for m in MODALITIES if (part := remarks_of(m))}
    found = {
        m: part.remarks(list(_some(media / m, CELLS if modality(m).is_inline else FILES)))
        for m, part in parts.items()
    }
    return {m: said for m, said in found.items() if said}


def about_groups(ledger: Ledger, group: str) -> dict[str, list[str]]:
    """Return what is odd about the groups that a column names, by its name: their spelling.

    Nothing of modalities, whose assets are compared as such.
    """
    splits = {} if group in MODALITIES else dict(islice(ledger.used(group), GROUPS))
    pairs = [
        " and ".join(f"{quoted(name)} in {_named(splits[name])}" for name in names)
        for names in alike(splits)
        if len({splits[name] for name in names}) > 1
    ]
    if not pairs:
        return {}
    what = "differ in case, blanks, zeros or what cannot be seen only; if they are one group"
    return {group: [f"{listed(pairs)} {what}, write them as one, or it is in several splits"]}


def _named(bits: int) -> str:
    return ", ".join(split for split in SPLITS if bits & BITS[split])


def _some(media: Path, count: int) -> Iterator[bytes]:
    """Yield contents of about as many assets, from shards all over the set."""
    shards = read_index(media)
    chosen = shards[:: max(1, -(-len(shards) // SHARDS))]
    for shard in chosen:
        contents = filter(None, read_media(media, shard))  # empty: a check did not read the file
        yield from islice(contents, -(-count // len(chosen)))
