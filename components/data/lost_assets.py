"""Assets of samples that a media shard set lacks."""

from collections.abc import Set
from pathlib import Path

from components.common.errors import InputError


def refuse_lost(media: Path, lost: Set[str]) -> None:
    """Raise InputError if there are any; `media` is the shard set."""
    if lost:
        raise InputError(
            f"{media} lacks {len(lost)} assets of its samples, the first is {min(lost)}. Samples "
            "and media are from different runs; run: dvc repro"
        )
