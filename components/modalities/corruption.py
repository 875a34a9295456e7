"""Corruptions: ways in which media get worse."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.common.hashing import number_from

SEVERITIES = (1, 2, 3, 4, 5)

Alter = Callable[[bytes, Any, np.random.Generator], bytes | None]  # of a file, at a level


@dataclass(frozen=True)
class Corruption:
    """A way in which assets of one modality get worse, in five severities.

    It is a pure function of an asset and a severity: the random generator is seeded by the asset's
    id alone, and all severities draw the same numbers, so that a higher one includes a lower one.
    """

    modality: str
    alter: Alter
    levels: tuple[Any, Any, Any, Any, Any]  # docs/robustness.md gives their origin
    is_quick: bool = False  # whether the suite `quick` contains it

    def __call__(self, severity: int, asset_id: str, content: bytes) -> bytes | None:
        """Return the file at a severity; None if nothing is left of it."""
        rng = np.random.default_rng(number_from("corruption", asset_id))
        return self.alter(content, self.levels[severity - 1], rng)
