"""Samples that differ from another one by their id only: the same assets, labels and slices."""

from array import array
from pathlib import Path

import pandas as pd
from pyarrow import parquet

from components.data.samples import SAMPLE_ID, SPLIT
from components.data.tables import count_rows

WAY_OUT = "Remove them from the source, unless they were observed several times"
APART = (
    "what is measured there was learnt. Remove them from the source, or let ingest.splits.group "
    "name what they share"
)


def about_repeats(samples: Path) -> list[str]:
    """Return how many samples repeat an earlier one, and whether in another split, if any do."""
    columns = [c for c in parquet.read_schema(samples).names if c not in (SAMPLE_ID, SPLIT)]
    contents, counts, splits = array("q"), array("q"), []  # hashes, as cells would fill the memory
    for (split, *cells), count in count_rows(samples, SPLIT, *columns):
        contents.append(hash(tuple(cells)))
        counts.append(count)
        splits.append(split)
    table = pd.DataFrame({"content": contents, "count": counts, "split": splits})
    found = table.groupby("content").agg({"count": "sum", "split": "nunique"})
    extra, is_apart = found["count"] - 1, found["split"] > 1
    if not (repeats := int(extra.sum())):
        return []
    what = f"{repeats:,} of {int(table['count'].sum()):,} repeat another one in all but its id"
    if not (apart := int(extra[is_apart].sum())):
        return [f"{what}, all in its split. {WAY_OUT}"]
    return [f"{what}, {apart:,} of them across splits, so that {APART}"]
