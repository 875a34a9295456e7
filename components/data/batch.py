"""Samples as the model reads them: which assets, and which targets."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from components.data.assets import MISSING, AssetTensors
from components.modalities.registry import MODALITIES, Modality
from components.tasks.settings import TaskSettings
from components.tasks.task import Kind


@dataclass(frozen=True)
class Samples:
    """B samples.

    Attributes:
        rows: by modality int64 [B], the row of the sample's asset; -1 where it has none.
        targets: by task [B, …], as its kind makes them.
    """

    rows: Mapping[Modality, Tensor]
    targets: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.rows.values())))

    def __getitem__(self, index: Tensor) -> "Samples":
        """Some of the samples."""
        return Samples(
            {m: rows[index] for m, rows in self.rows.items()},
            {task: targets[index] for task, targets in self.targets.items()},
        )

    @property
    def presence(self) -> Tensor:
        """bool [B, modalities], in the order of `MODALITIES`."""
        return torch.stack([self.rows[m] >= 0 for m in MODALITIES], 1)

    def keep(self, kept: Tensor) -> "Samples":
        """Only the modalities that `kept` (bool [B, modalities]) says; the others go missing."""
        rows = {m: torch.where(kept[:, i], self.rows[m], MISSING) for i, m in enumerate(MODALITIES)}
        return Samples(rows, self.targets)

    def compact(self) -> tuple[dict[Modality, Tensor], "Samples"]:
        """The distinct assets of the samples, and the samples with rows into those.

        Returns:
            By modality the rows of the distinct assets [N]; modalities that no sample has are
            left out. The samples, their rows counted within these.
        """
        distinct, rows = {}, {}
        for m in MODALITIES:
            values, inverse = self.rows[m].unique(return_inverse=True)
            missing = int(len(values) > 0 and values[0] == MISSING)  # -1 sorts first
            rows[m] = inverse - missing
            if len(values) > missing:
                distinct[m] = values[missing:]
        return distinct, Samples(rows, self.targets)


def make_samples(
    table: pd.DataFrame,
    assets: Mapping[Modality, AssetTensors],
    tasks: Mapping[str, TaskSettings],
    kinds: Mapping[str, Kind],
) -> Samples:
    """Rows and targets of a table of samples; a modality without `assets` is missing from all."""
    targets = {name: kinds[name].targets(table[task.column]) for name, task in tasks.items()}
    rows = {m: torch.full((len(table),), MISSING) for m in MODALITIES}
    rows |= {m: known.rows(table[f"{m}_id"]) for m, known in assets.items()}
    return Samples(rows, targets)
