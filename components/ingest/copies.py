"""Copies: assets of several splits that look, read or sound the same though their bytes differ.

Each asset has a fingerprint, a few bytes that another format or size hardly changes. Two assets
are copies if the distance of their fingerprints is within what their modality allows. Texts are
compared where there is nothing else: beside other modalities they may recur, as questions do.
"""

import logging
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from components.common.errors import InputError
from components.data.samples import SAMPLE_ID, SPLIT, SPLITS, Split, asset_column
from components.ingest.ledger import Ledger
from components.ingest.records import BadRow
from components.modalities.registry import MODALITIES, language_modalities, modality

log = logging.getLogger(__name__)

OnCopy = Literal["report", "drop", "error", "ignore"]

REACH = {m: reach for m in MODALITIES if (reach := modality(m).copies_within) is not None}
LANGUAGE = language_modalities()
CHUNK = 4096  # assets that are looked up at a time
MAX_LISTED = 3  # per modality in an error message
LATER: tuple[tuple[Split, Split], ...] = (  # of several copies, one in test counts
    ("train", "test"),
    ("validation", "test"),
    ("train", "validation"),
)


def find_copies(ledger: Ledger, policy: OnCopy) -> dict[str, int]:
    """Record the assets that have a copy in a later split, and return their number by modality.

    Raises:
        InputError: there are some and the policy is `error`.
    """
    if policy == "ignore":
        return {}
    compared = [m for m in REACH if m not in LANGUAGE or m in texts_alone(ledger)]
    for m in compared:
        for earlier, later in LATER:
            _record(ledger, m, earlier, later, REACH[m])
    found = {m: ledger.copies(m, MAX_LISTED) for m in compared}
    counts = {m: count for m, (count, _) in found.items()}
    if not any(counts.values()):
        return counts
    named = " and ".join(f"{count} of {m}" for m, count in counts.items() if count)
    if policy == "error":
        lines = "\n".join(
            f"  {m} {asset[:12]} and {copy[:12]} in {split}"
            for m, (_, pairs) in found.items()
            for asset, copy, split in pairs
        )
        raise InputError(
            f"assets of one split look, read or sound the same as one of a later split ({named}), "
            f"so figures on test would be too good:\n{lines}\nCorrect the source's splits, or set "
            "ingest.on_copy: drop (the sample leaves the earlier split) or report (the data report "
            "shows them)"
        )
    log.warning(
        "assets of one split look, read or sound the same as one of a later split (%s): see the "
        "data report; ingest.on_copy is %s",
        *(named, policy),
    )
    return counts


def copied(ledger: Ledger, sample: Mapping[str, Any]) -> BadRow | None:
    """Return a sample as a bad row if a later split has a copy of one of its assets."""
    for m in REACH:
        asset = sample[asset_column(m)]
        found = ledger.copy(m, asset) if asset else None
        if found and SPLITS.index(found[1]) > SPLITS.index(sample[SPLIT]):
            other, split = found
            detail = f"{m} {asset[:12]} of a {sample[SPLIT]} sample is like {other[:12]} in {split}"
            return BadRow(sample[SAMPLE_ID], asset, "copy", detail)
    return None


def texts_alone(ledger: Ledger) -> tuple[str, ...]:
    """Return the modality of texts if the samples have no other; nothing if they have."""
    present = tuple(m for m in MODALITIES if ledger.has_uses(m))
    return present if len(present) == 1 and present[0] in LANGUAGE else ()


def _record(ledger: Ledger, m: str, earlier: Split, later: Split, reach: float) -> None:
    """Record the assets of a split that have a copy in a later one, whose fingerprints it holds."""
    ids, matrices = [], []
    for rows in ledger.fingerprints(m, later, CHUNK):
        ids.extend(asset for asset, _ in rows)
        matrices.append(_matrix(rows))
    if not ids:
        return
    from scipy.spatial import KDTree  # whose import would slow down all that reads settings

    tree = KDTree(np.concatenate(matrices))
    for rows in ledger.fingerprints(m, earlier, CHUNK):
        found = map(np.asarray, tree.query(_matrix(rows), distance_upper_bound=reach))
        for (asset, _), distance, place in zip(rows, *found, strict=True):
            if np.isfinite(distance) and asset != ids[place]:
                ledger.add_copy(m, asset, ids[place], later)


def _matrix(rows: list[tuple]) -> np.ndarray:
    """Return fingerprints, float32 [n, bytes]."""
    return np.stack([np.frombuffer(row[1], np.uint8) for row in rows]).astype(np.float32)
