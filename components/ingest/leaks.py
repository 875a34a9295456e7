"""Leaks: equal assets in several splits, which make figures on held-out data too good."""

from collections.abc import Mapping
from typing import Any

from components.common.errors import InputError
from components.data.samples import SAMPLE_ID, SPLIT, asset_column
from components.ingest.ledger import Ledger
from components.ingest.records import BadRow
from components.modalities.registry import MODALITIES, modality

LEAKING = tuple(m for m in MODALITIES if modality(m).is_leak)
MAX_LISTED = 3  # leaks per modality in an error message


def count_leaks(ledger: Ledger, policy: str) -> dict[str, int]:
    """Return the number of assets in more than one split, by modality.

    Raises `InputError` if there are some and the policy is `error`.
    """
    found = {m: ledger.leaks(m, MAX_LISTED) for m in LEAKING}
    if policy == "error" and any(count for count, _ in found.values()):
        lines = [
            f"  {m} {asset[:12]} in {', '.join(splits)}"
            for m, (_, leaks) in found.items()
            for asset, splits in leaks.items()
        ]
        counts = " and ".join(f"{count} of {m}" for m, (count, _) in found.items() if count)
        raise InputError(
            f"the same asset is in more than one split ({counts}), so figures on test would be "
            f"too good:\n{chr(10).join(lines)}\nCorrect the source's splits, or set "
            "ingest.on_leak: drop (the sample leaves the earlier split) or allow"
        )
    return {m: count for m, (count, _) in found.items()}


def leak(ledger: Ledger, sample: Mapping[str, Any]) -> BadRow | None:
    """Return a sample as a bad row if a later split has one of its assets too."""
    for m in LEAKING:
        asset = sample[asset_column(m)]
        if asset and (later := ledger.later_split(m, asset, sample[SPLIT])):
            detail = f"{m} {asset[:12]} of a {sample[SPLIT]} sample is in {later} too"
            return BadRow(sample[SAMPLE_ID], asset, "leak", detail)
    return None
