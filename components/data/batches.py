"""Batches of samples: which assets they have, and their targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from components.data.assets import MISSING, AssetTensors
from components.data.samples import asset_column


@dataclass(frozen=True)
class Samples:
    """B samples."""

    # by modality int64 [B], the row of the sample's asset; -1 where it has none
    rows: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]  # by task [B, …], as its kind makes them

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    def __getitem__(self, index: Tensor) -> "Samples":
        """Return some of the samples."""
        return Samples(
            {m: rows[index] for m, rows in self.rows.items()},
            {task: targets[index] for task, targets in self.targets.items()},
        )

    @property
    def presence(self) -> Tensor:
        """bool [B, modalities], in the order of `rows`."""
        return torch.stack([rows >= 0 for rows in self.rows.values()], 1)

    def keep(self, kept: Tensor) -> "Samples":
        """Return the samples with the modalities where `kept`, bool [B, modalities], is true."""
        columns = zip(self.rows.items(), kept.unbind(1), strict=True)
        rows = {m: torch.where(column, rows, MISSING) for (m, rows), column in columns}
        return Samples(rows, self.targets)

    def compact(self) -> tuple[dict[str, Tensor], "Samples"]:
        """Return by modality the rows of the distinct assets [N], and samples with rows into those.

        Modalities that no sample has are left out of the first.
        """
        distinct, compacted = {}, {}
        for m, rows in self.rows.items():
            values, inverse = rows.unique(return_inverse=True)
            missing = int(len(values) > 0 and values[0] == MISSING)  # -1 sorts first
            compacted[m] = inverse - missing
            if len(values) > missing:
                distinct[m] = values[missing:]
        return distinct, Samples(compacted, self.targets)


def asset_rows(
    table: pd.DataFrame, assets: Mapping[str, AssetTensors], modalities: Sequence[str]
) -> dict[str, Tensor]:
    """Return by modality the row of each sample's asset, int64 [B]; -1 where it has none.

    A modality without `assets` is missing from all samples.
    """
    missing = torch.full((len(table),), MISSING)
    return {
        m: assets[m].rows(table[asset_column(m)]) if m in assets else missing for m in modalities
    }
