"""What of sounds looks like a mistake."""

from collections.abc import Sequence

from components.modalities.audio.decoding import decode
from components.modalities.audio.inspection import LISTEN

SILENT = 1e-4  # of full scale, the loudest sample: below what 16 bits tell from nothing


def remarks(contents: Sequence[bytes]) -> list[str]:
    """See `Remarks`: how many sounds are silent once their channels are averaged."""
    silent = sum(bool(abs(decode(content, LISTEN)[0]).max() < SILENT) for content in contents)
    if not silent:
        return []
    return [
        f"{silent} of {len(contents)} sounds that were looked at are silent, or become so when "
        "their channels are averaged; are they the right files?"
    ]
