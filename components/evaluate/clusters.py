"""Clusters: predictions that are right or wrong together."""

import pandas as pd

from components.data.samples import SAMPLE_ID, asset_column, modalities_named
from components.modalities.registry import MODALITIES


def clusters(table: pd.DataFrame, subset: str, group: str) -> pd.Series:
    """Return the cluster of each sample if a subset such as `image-text` is given, by sample id.

    Predictions of a cluster are right or wrong together. Clusters are the groups that splits keep
    together; where the subset or the table has no such group, samples with the same assets.
    """
    by_id, given = table.set_index(SAMPLE_ID), modalities_named(subset)
    parts = by_id[[asset_column(m) for m in given]].fillna("")
    assets = parts.iloc[:, 0].str.cat(parts.iloc[:, 1:], sep="+")
    if group in MODALITIES:
        return by_id[asset_column(group)] if group in given else assets
    return by_id[group].astype("str").fillna(assets) if group in by_id else assets
