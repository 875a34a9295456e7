"""The table of samples: its columns, the modalities that it has, and its test split."""

from pathlib import Path

import pandas as pd
import pytest

from components.common.errors import InputError
from components.common.hashing import content_id
from components.data.samples import (
    held_out,
    id_columns,
    modalities_present,
    read_samples,
    samples_schema,
)
from components.data.tables import write_table

MODALITIES = ("image", "text", "audio")
ASSET = content_id(b"asset")


def samples(*rows: tuple[str, str]) -> pd.DataFrame:
    """Return samples, each given by its split and the one modality that it has."""
    return pd.DataFrame(
        {
            "sample_id": [str(number) for number in range(len(rows))],
            "split": [split for split, _ in rows],
            **{f"{m}_id": [ASSET if m == own else None for _, own in rows] for m in MODALITIES},
        },
        dtype="str",
    )


def test_modalities_decide_columns(tmp_path):
    assert id_columns(("image", "audio")) == ("sample_id", "image_id", "audio_id")
    table = samples(("train", "text")).drop(columns="audio_id")
    path = tmp_path / "samples.parquet"
    write_table(path, table, samples_schema(("image", "text")))
    assert list(read_samples(path, ("image", "text"))) == list(table)
    with pytest.raises(InputError, match="audio_id"):
        read_samples(path, MODALITIES)


def test_present_modalities_are_those_of_training_samples():
    table = samples(("train", "audio"), ("test", "text"), ("train", "image"))
    assert modalities_present(table, MODALITIES) == ("image", "audio")


@pytest.mark.parametrize("rows", [[("test", "image")], [("train", "")], []])
def test_nothing_to_learn_from_is_refused(rows):
    with pytest.raises(InputError, match="nothing to learn from: .* image, text, audio"):
        modalities_present(samples(*rows), MODALITIES)


@pytest.mark.parametrize(("split", "ids"), [("test", ["1", "3"]), ("validation", ["2"])])
def test_held_out_samples_are_those_of_one_split(split, ids):
    table = samples(("train", "image"), ("test", "text"), ("validation", "text"), ("test", "image"))
    assert list(held_out(table, split, ("text",), Path("x"))["sample_id"]) == ids


def test_test_split_without_learnt_modality_is_refused():
    table = samples(("train", "image"), ("test", "text"))
    with pytest.raises(InputError, match=r"s\.parquet holds no sample .* with image or audio"):
        held_out(table, "test", ("image", "audio"), Path("s.parquet"))
