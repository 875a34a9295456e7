"""What a corruption is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.common.hashing import number_from
from components.modalities.registry import Modality

SEVERITIES = (1, 2, 3, 4, 5)

Alter = Callable[[bytes, Any, np.random.Generator], bytes | None]


@dataclass(frozen=True)
class Corruption:
    """A way in which the media of one modality get worse, in five severities.

    It is a pure function of an asset and a severity: the asset's id is the only source of chance,
    and all severities draw alike, so that what a mild one does a severe one does too.

    Attributes:
        modality: of the assets.
        alter: the content of a file, a level and the source of chance to a file's content; None
            if nothing is left of it.
        levels: what `alter` gets at the severities 1 to 5; docs/robustness.md says where they are
            from.
    """

    modality: Modality
    alter: Alter
    levels: tuple[Any, Any, Any, Any, Any]

    def __call__(self, severity: int, asset_id: str, content: bytes) -> bytes | None:
        """The file at a severity; None if the asset has gone."""
        chance = np.random.default_rng(number_from("corruption", asset_id))
        return self.alter(content, self.levels[severity - 1], chance)
