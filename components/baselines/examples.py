"""Which samples and assets the baselines learn from and predict, all within fixed bounds."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from components.common.hashing import content_id
from components.data.samples import SAMPLE_ID, SPLIT, asset_column
from components.tasks.labels import Labels

MAX_EXAMPLES = 4_000  # distinct pairs of an asset and a label, per task and modality
MAX_HELD_OUT = {"validation": 2_000, "test": 10_000}  # samples


@dataclass(frozen=True)
class Examples:
    """Distinct pairs of an asset and a label in the training split, with how often each occurs."""

    assets: list[str]
    labels: list
    weights: np.ndarray
    found: int  # pairs, of which these are the first by asset id


def examples(train: pd.DataFrame, m: str, column: str, labels: Labels) -> Examples:
    """Return what a modality's part in the baseline of a task learns from.

    Asset ids are hashes, so the first are a random choice, and the same for every task.
    """
    rows = train[[asset_column(m), column]].dropna()
    rows = rows.set_axis(["asset", "label"], axis=1)
    rows = rows.assign(key=rows["label"].map(labels.to_text))
    pairs = rows.groupby(["asset", "key"])["label"].agg(["first", "size"]).sort_index()
    kept = pairs.head(MAX_EXAMPLES)
    return Examples(
        assets=kept.index.get_level_values("asset").tolist(),
        labels=kept["first"].tolist(),
        weights=kept["size"].to_numpy(float),
        found=len(pairs),
    )


def label_counts(column: pd.Series, labels: Labels) -> tuple[list, np.ndarray]:
    """Return the distinct labels of a column, and how often each occurs."""
    known = column.dropna()
    counts = known.groupby(known.map(labels.to_text)).agg(["first", "size"])
    return counts["first"].tolist(), counts["size"].to_numpy(float)


def held_out_rows(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the samples of the validation and the test split that are predicted."""
    parts = []
    for split, most in MAX_HELD_OUT.items():
        rows = samples[samples[SPLIT] == split]
        hashes = [content_id(str(name).encode()) for name in rows[SAMPLE_ID]]
        parts.append(rows.iloc[sorted(np.argsort(hashes)[:most])])
    return pd.concat(parts, ignore_index=True)
