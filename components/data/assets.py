"""Tensors of all assets of a modality, as learning stages read them from shards."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor

from components.common.errors import InputError
from components.common.tensor_files import readable_tensors
from components.data.samples import SPLIT, SPLITS, asset_column
from components.data.shards import read_index

MISSING = -1  # row of an asset that a sample does not have
COLUMNS = ["split", "asset", "label"]


@dataclass(frozen=True)
class AssetTensors:
    """Tensors with one row per asset, in the order of the shard set."""

    ids: tuple[str, ...]
    tensors: dict[str, Tensor]

    def rows(self, ids: pd.Series) -> Tensor:
        """Return the row of each asset, int64 [n], -1 where null; raise `InputError` if unknown."""
        known = pd.Series(range(len(self.ids)), index=list(self.ids), dtype="int64")
        rows = ids.map(known)
        lost = ids[ids.notna() & rows.isna()]
        if len(lost):
            raise InputError(
                f"{len(lost)} assets of the samples are not in the shard set, the first is "
                f"{lost.iloc[0]}. An earlier stage is out of date; run: dvc repro"
            )
        return torch.tensor(rows.fillna(MISSING).astype("int64").to_numpy().copy())

    def take(self, rows: Tensor) -> dict[str, Tensor]:
        """Return the tensors of some assets, int64 [n]."""
        return {name: value.index_select(0, rows) for name, value in self.tensors.items()}

    def align(self, labels: pd.Series) -> pd.Series:
        """Return labels by asset id in the order of the assets, null where there is none."""
        return labels.reindex(list(self.ids))


def load_assets(folder: Path) -> AssetTensors:
    """Read a shard set, without tensors if it has no assets.

    Raise `InputError` if it is not finished, or damaged.
    """
    shards = read_index(folder)
    parts = [load_tensors(folder / f"{shard.name}.safetensors") for shard in shards]
    names = parts[0] if parts else ()
    tensors = {name: torch.cat([part[name] for part in parts]) for name in names}
    return AssetTensors(tuple(a for shard in shards for a in shard.asset_ids), tensors)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a file of tensors that a stage left; raise `InputError` if it is damaged."""
    with readable_tensors(path):
        return load_file(path)


def label_votes(
    samples: pd.DataFrame, modality: str, column: str, to_text: Callable[[Any], str]
) -> pd.DataFrame:
    """Return the distinct pairs of `asset` and `label`, and the `votes` of samples for each.

    Samples of the first split (train, validation, test) with the asset vote, so that no held-out
    label is learnt. Labels are compared as what `to_text` makes of them.
    """
    found = samples[[SPLIT, asset_column(modality), column]].dropna().set_axis(COLUMNS, axis=1)
    found["place"], found["as_text"] = found["split"].map(SPLITS.index), found["label"].map(to_text)
    found = found[found["place"] == found.groupby("asset")["place"].transform("min")]
    found["votes"] = found.groupby(["asset", "as_text"])["as_text"].transform("size")
    return found.drop_duplicates(["asset", "as_text"])


def majority_labels(votes: pd.DataFrame) -> pd.Series:
    """Return the label with the most of `label_votes`, by asset id; of a tie there is none."""
    best = votes[votes["votes"] == votes.groupby("asset")["votes"].transform("max")]
    return best[~best["asset"].duplicated(keep=False)].set_index("asset")["label"]
