"""Leaks: equal assets or groups in several splits, so that figures on test are too good."""

from collections.abc import Mapping
from typing import Any

from components.common.errors import InputError
from components.data.samples import SAMPLE_ID, SPLIT
from components.ingest.copies import LANGUAGE, texts_alone
from components.ingest.groups import Groups
from components.ingest.ledger import Ledger
from components.ingest.records import BadRow
from components.modalities.registry import MODALITIES, modality

LEAKING = tuple(m for m in MODALITIES if modality(m).is_leak)
MAX_LISTED = 3  # leaks per kind in an error message


def leaking(ledger: Ledger, group: str) -> tuple[str, ...]:
    """Return what may be in one split only: modalities, and the column that names the groups.

    Texts may recur beside other modalities, as questions do.
    """
    return tuple(dict.fromkeys((*LEAKING, *texts_alone(ledger), group)))


def count_leaks(ledger: Ledger, policy: str, group: str) -> dict[str, int]:
    """Return the number of assets in more than one split, by modality, and of groups.

    Texts are counted even if they are no leaks. Raises `InputError` if there are leaks and the
    policy is `error`.
    """
    kinds = leaking(ledger, group)
    found = {k: ledger.leaks(k, MAX_LISTED) for k in dict.fromkeys((*LEAKING, *LANGUAGE, *kinds))}
    leaks = {kind: found[kind] for kind in kinds if found[kind][0]}
    if policy == "error" and leaks:
        lines = [
            f"  {kind} {_shown(kind, value)} in {', '.join(splits)}"
            for kind, (_, first) in leaks.items()
            for value, splits in first.items()
        ]
        counts = " and ".join(f"{count} of {kind}" for kind, (count, _) in leaks.items())
        hint = (
            f"where it gives none, let ingest.splits.group be {next(iter(leaks))} (now {group}), "
            if group not in leaks
            else ""
        )
        raise InputError(
            f"the same asset or group is in more than one split ({counts}), so figures on test "
            f"would be too good:\n{chr(10).join(lines)}\nCorrect the source's splits, {hint}or set "
            "ingest.on_leak: drop (the sample leaves the earlier split) or allow"
        )
    return {kind: count for kind, (count, _) in found.items()}


def leak(groups: Groups, kinds: tuple[str, ...], sample: Mapping[str, Any]) -> BadRow | None:
    """Return a sample as a bad row if a later split has its group, or one of its assets, too."""
    for kind, value in groups.of(sample):
        later = kind in kinds and groups.ledger.later_split(kind, value, sample[SPLIT])
        if later:
            detail = f"{kind} {_shown(kind, value)} of a {sample[SPLIT]} sample is in {later} too"
            return BadRow(sample[SAMPLE_ID], value, "leak", detail)
    return None


def _shown(kind: str, value: str) -> str:
    return value[:12] if kind in MODALITIES else value
