"""Shard sets of tensors as training reads them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor

from components.common.errors import InputError
from components.data.shards import read_index
from components.modalities.registry import Modality

MISSING = -1  # row of an asset that a sample does not have


@dataclass(frozen=True)
class AssetTensors:
    """The tensors of all assets of a modality, a row an asset, in the order of the shard set."""

    ids: tuple[str, ...]
    tensors: dict[str, Tensor]

    def rows(self, ids: pd.Series) -> Tensor:
        """int64 [len(ids)]: the row of each asset, -1 where the id is null.

        Raises:
            InputError: an asset is not in the set.
        """
        known = pd.Series(range(len(self.ids)), index=list(self.ids), dtype="int64")
        rows = ids.map(known)
        lost = ids[ids.notna() & rows.isna()]
        if len(lost):
            raise InputError(
                f"{len(lost)} assets of the samples are not in the shard set, the first is "
                f"{lost.iloc[0]}. The stages before are out of date; run: dvc repro"
            )
        return torch.tensor(rows.fillna(MISSING).astype("int64").to_numpy().copy())


def load_assets(folder: Path) -> AssetTensors:
    """Read a whole tensor or feature shard set; one without assets has no tensors either.

    Raises:
        InputError: the set is not finished.
    """
    shards = read_index(folder)
    parts = [load_file(folder / f"{shard.name}.safetensors") for shard in shards]
    names = parts[0] if parts else ()
    tensors = {name: torch.cat([part[name] for part in parts]) for name in names}
    return AssetTensors(tuple(a for shard in shards for a in shard.asset_ids), tensors)


def asset_labels(
    samples: pd.DataFrame, modality: Modality, column: str, written: Callable[[Any], str]
) -> pd.Series:
    """The label of each asset that has one, by asset id.

    Args:
        samples: the samples.
        modality: of the assets.
        column: that holds the labels.
        written: a label in one string.

    Raises:
        InputError: one asset has two labels, so the modality does not decide the column.
    """
    pairs = samples[[f"{modality}_id", column]].dropna().reset_index(drop=True)
    spelt = pairs.assign(**{column: pairs[column].map(written)}).drop_duplicates()
    twice = spelt[spelt[f"{modality}_id"].duplicated(keep=False)]
    if len(twice):
        first = twice[twice[f"{modality}_id"] == twice.iloc[0][f"{modality}_id"]]
        raise InputError(
            f"{modality} {first.iloc[0][f'{modality}_id'][:12]} has the labels "
            f"{', '.join(map(repr, first[column]))} in column {column!r}, so {modality} does not "
            f"decide it. Remove {modality} from decided_by of that task in params.yaml"
        )
    return pairs.loc[spelt.index].set_index(f"{modality}_id")[column]
