"""The table of samples: its columns, and the splits."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
import pandera.pandas as pa

from components.common.errors import InputError
from components.data.tables import ASSET_ID, read_table

Split = Literal["train", "validation", "test"]
HeldOutSplit = Literal["test", "validation"]
SPLITS: tuple[Split, ...] = get_args(Split)
SAMPLE_ID, SPLIT = "sample_id", "split"


def asset_column(modality: str) -> str:
    """Return the column of the samples that holds the asset ids of a modality."""
    return f"{modality}_id"


def id_columns(modalities: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of ids that every table of samples has."""
    return (SAMPLE_ID, *map(asset_column, modalities))


def subset_name(modalities: Iterable[str]) -> str:
    """Return a set of modalities as figures name it, `image-text`, everywhere the same.

    The names of modalities are those of packages, which have no hyphens, and MLflow takes it.
    """
    return "-".join(modalities)


def modalities_named(subset: str) -> list[str]:
    """Return the modalities of a `subset_name`."""
    return subset.split("-")


def samples_schema(modalities: Sequence[str]) -> pa.DataFrameSchema:
    """Return the schema of the samples: further columns hold labels and slices."""
    return pa.DataFrameSchema(
        {
            SAMPLE_ID: pa.Column(str, unique=True),
            SPLIT: pa.Column(str, pa.Check.isin(SPLITS)),
            **{asset_column(m): pa.Column(str, ASSET_ID, nullable=True) for m in modalities},
        },
        strict=False,
        name="samples",
    )


def read_samples(path: Path, modalities: Sequence[str]) -> pd.DataFrame:
    """Read the samples; raise `InputError` if the file is missing or breaks the schema."""
    return read_table(path, samples_schema(modalities))


def modalities_present(samples: pd.DataFrame, modalities: Sequence[str]) -> tuple[str, ...]:
    """Return the modalities that training samples have; raise `InputError` if they have none."""
    train = samples[samples[SPLIT] == "train"]
    if present := tuple(m for m in modalities if train[asset_column(m)].notna().any()):
        return present
    raise InputError(
        f"nothing to learn from: {len(train)} samples of the training split, none with any of "
        f"{', '.join(modalities)}. See ingest.splits in params.yaml and the data report"
    )


def held_out(
    samples: pd.DataFrame, split: HeldOutSplit, modalities: Sequence[str], path: Path
) -> pd.DataFrame:
    """Return a split of the samples that `path` holds.

    Raises:
        InputError: no sample of it has one of the modalities, those that the model was trained on.
    """
    found = samples[samples[SPLIT] == split]
    if not found[list(map(asset_column, modalities))].notna().to_numpy().any():
        raise InputError(
            f"{path} holds no sample of the {split} split with {' or '.join(modalities)}, "
            "which the model was trained on. See ingest.splits and evaluate.split in params.yaml"
        )
    return found
