"""Why a media file cannot be used."""

from collections.abc import Mapping
from dataclasses import dataclass

Facts = Mapping[str, int | float | str]  # what a file that can be used is like, for the data report


@dataclass(frozen=True)
class Problem:
    """Why a media file cannot be used.

    Attributes:
        reason: a stable code of lower-case letters, digits and underscores, as `image_undecodable`.
        detail: a sentence: what was found and what was expected.
    """

    reason: str
    detail: str
