"""Plain features of a modality's assets."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from components.data.lost_assets import refuse_lost
from components.data.shards import read_assets
from components.modalities.modality import PlainFeatures
from components.tasks.baseline import Matrix


@dataclass(frozen=True)
class AssetFeatures:
    """A row of a matrix per asset."""

    rows: pd.Series  # by asset id
    matrix: Matrix  # [N, D]

    def of(self, assets: Sequence[str]) -> Matrix:
        """Return the features of assets, [n, D]."""
        return self.matrix[self.rows[list(assets)].to_numpy()]


def plain_features(
    part: PlainFeatures, inputs: Any, media: Path, wanted: Set[str], learnt: Set[str]
) -> AssetFeatures:
    """Read assets of a media shard set; what features need to know is learnt from `learnt` alone.

    Raises:
        InputError: a wanted asset is not in the shard set.
    """
    found = {asset: part.describe(content, inputs) for asset, content in read_assets(media, wanted)}
    refuse_lost(media, wanted - found.keys())
    ids = sorted(found)
    vectorizer = part.vectorizer().fit([found[asset] for asset in ids if asset in learnt])
    matrix = vectorizer.transform([found[asset] for asset in ids])
    return AssetFeatures(pd.Series(range(len(ids)), ids, dtype="int64"), matrix)
