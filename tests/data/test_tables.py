"""Tables are checked where they are written and where they are read."""

import os

import pandas as pd
import pyarrow as arrow
import pytest

from components.common.errors import InputError
from components.common.hashing import content_id
from components.data.tables import (
    HISTORY,
    QUARANTINE,
    SAMPLES,
    TableWriter,
    read_rows,
    read_table,
    write_table,
)

IMAGE = content_id(b"image")


def samples(**changes) -> pd.DataFrame:
    columns = {
        "sample_id": ["a", "b"],
        "split": ["train", "test"],
        "image_id": [IMAGE, None],
        "text_id": [None, content_id(b"text")],
        "audio_id": [None, None],
        "answer": ["yes", None],
    }
    return pd.DataFrame(columns | changes, dtype="str")


def test_samples_come_back_with_their_missing_values(tmp_path):
    write_table(tmp_path / "samples.parquet", samples(), SAMPLES)
    pd.testing.assert_frame_equal(read_table(tmp_path / "samples.parquet", SAMPLES), samples())


def test_the_same_table_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_table(tmp_path / f"{name}.parquet", samples(), SAMPLES)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_history_is_csv_and_loses_no_digit(tmp_path):
    rows = [(0, "loss", "answer", 1 / 3), (1, "accuracy (all)", "answer", 0.1 + 0.2)]
    table = pd.DataFrame(rows, columns=["epoch", "series", "task", "value"])
    write_table(tmp_path / "history.csv", table, HISTORY)
    assert (tmp_path / "history.csv").read_text().startswith("epoch,series,task,value\n0,loss")
    pd.testing.assert_frame_equal(read_table(tmp_path / "history.csv", HISTORY), table)


@pytest.mark.parametrize("name", ["history.csv", "history.parquet"])
def test_a_table_without_rows_comes_back(tmp_path, name):
    write_table(tmp_path / name, pd.DataFrame(columns=list(HISTORY.columns)), HISTORY)
    table = read_table(tmp_path / name, HISTORY)
    assert table.empty and list(table.columns) == list(HISTORY.columns)
    with pytest.raises(InputError, match="value"):
        write_table(tmp_path / name, table.drop(columns="value"), HISTORY)


@pytest.mark.parametrize(
    ("column", "values", "found"),
    [
        ("split", ["train", "tset"], "'tset'"),
        ("image_id", [IMAGE, "cat.png"], "'cat.png'"),
        ("sample_id", ["a", "a"], "'a'"),
    ],
)
def test_a_broken_table_is_refused_with_file_column_and_value(tmp_path, column, values, found):
    path = tmp_path / "samples.parquet"
    with pytest.raises(InputError) as error:
        write_table(path, samples(**{column: values}), SAMPLES)
    assert os.listdir(tmp_path) == []
    samples(**{column: values}).to_parquet(path)
    with pytest.raises(InputError) as error:
        read_table(path, SAMPLES)
    for part in (str(path), f"column '{column}'", f"found {found}", "row 1"):
        assert part in str(error.value).replace("row 0", "row 1")


def test_a_column_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match="audio_id"):
        write_table(tmp_path / "samples.parquet", samples().drop(columns="audio_id"), SAMPLES)


def test_a_table_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.parquet is missing.*dvc repro"):
        read_table(tmp_path / "nowhere.parquet", SAMPLES)


@pytest.mark.parametrize("count", [0, 1, 25_000])  # none, one batch, three
def test_a_table_written_row_by_row_is_the_table(tmp_path, count):
    types = arrow.schema([(column, arrow.string()) for column in QUARANTINE.columns])
    rows = [
        {"source_line": str(n), "asset": None if n % 2 else "x", "reason": "bad", "detail": "d"}
        for n in range(count)
    ]
    path = tmp_path / "table.parquet"
    with TableWriter(path, QUARANTINE, types) as writer:
        for row in rows:
            writer.add(row)
        assert not path.exists()
    assert list(read_rows(path)) == rows
    assert len(read_table(path, QUARANTINE)) == count


@pytest.mark.parametrize("row", [9, 24_000], ids=["in the first batch", "in the last batch"])
def test_a_row_that_breaks_the_schema_leaves_no_table(tmp_path, row):
    types = arrow.schema([(column, arrow.string()) for column in QUARANTINE.columns])
    path = tmp_path / "table.parquet"
    with (
        pytest.raises(InputError, match="column 'reason'"),
        TableWriter(path, QUARANTINE, types) as writer,
    ):
        for n in range(25_000):
            reason = "Bad!" if n == row else "bad"
            writer.add({"source_line": "a", "asset": None, "reason": reason, "detail": "d"})
    assert list(tmp_path.iterdir()) == []
