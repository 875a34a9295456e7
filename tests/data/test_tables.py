"""Tables are checked when they are written and when they are read."""

import os

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pytest

from components.common.errors import InputError
from components.common.hashing import content_id
from components.data.samples import samples_schema
from components.data.tables import (
    TableWriter,
    concat_tables,
    count_rows,
    read_batches,
    read_rows,
    read_table,
    read_where,
    write_table,
)
from components.modalities.registry import MODALITIES

SAMPLES = samples_schema(MODALITIES)
VALUES = pandera.DataFrameSchema(
    {"epoch": pandera.Column(int), "series": pandera.Column(str), "value": pandera.Column(float)},
    strict=True,
    name="values",
)
WORDS = pandera.DataFrameSchema(
    {
        "id": pandera.Column(str),
        "asset": pandera.Column(str, nullable=True),
        "word": pandera.Column(str, pandera.Check.str_matches(r"^[a-z]+$")),
    },
    strict=True,
    name="words",
)
WORD_TYPES = pa.schema([(column, pa.string()) for column in WORDS.columns])
IMAGE = content_id(b"image")


def samples(**changes) -> pd.DataFrame:
    columns = {
        "sample_id": ["a", "b"],
        "split": ["train", "test"],
        "image_id": [IMAGE, None],
        "text_id": [None, content_id(b"text")],
        "audio_id": [None, None],
        "tabular_id": [None, content_id(b'{"age": "3"}')],
        "answer": ["yes", None],
    }
    return pd.DataFrame(columns | changes, dtype="str")


def test_samples_come_back_with_missing_values(tmp_path):
    write_table(tmp_path / "samples.parquet", samples(), SAMPLES)
    pd.testing.assert_frame_equal(read_table(tmp_path / "samples.parquet", SAMPLES), samples())


def test_equal_tables_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_table(tmp_path / f"{name}.parquet", samples(), SAMPLES)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_csv_loses_no_digit(tmp_path):
    rows = [(0, "loss", 1 / 3), (1, "accuracy all", 0.1 + 0.2)]
    table = pd.DataFrame(rows, columns=list(VALUES.columns))
    write_table(tmp_path / "values.csv", table, VALUES)
    assert (tmp_path / "values.csv").read_text().startswith("epoch,series,value\n0,loss,0.3")
    pd.testing.assert_frame_equal(read_table(tmp_path / "values.csv", VALUES), table)


def test_tables_become_one_in_the_order_of_its_schema():
    """Tables without rows change no type."""
    part = pd.DataFrame({"value": [0.5], "epoch": [3], "series": ["loss"]})
    found = concat_tables([part.iloc[:0].astype("object"), part, part], VALUES)
    assert found.to_dict("list") == {"epoch": [3, 3], "series": ["loss"] * 2, "value": [0.5] * 2}
    assert list(found.columns) == list(VALUES.columns) and list(found.index) == [0, 1]
    assert found.dtypes.equals(part[list(VALUES.columns)].dtypes)


@pytest.mark.parametrize("name", ["values.csv", "values.parquet"])
def test_table_without_rows_comes_back(tmp_path, name):
    write_table(tmp_path / name, concat_tables([], VALUES), VALUES)
    table = read_table(tmp_path / name, VALUES)
    assert table.empty and list(table.columns) == list(VALUES.columns)
    with pytest.raises(InputError, match="value"):
        write_table(tmp_path / name, table.drop(columns="value"), VALUES)


@pytest.mark.parametrize(
    ("column", "values", "found"),
    [
        ("split", ["train", "tset"], "'tset'"),
        ("image_id", [IMAGE, "cat.png"], "'cat.png'"),
        ("sample_id", ["a", "a"], "'a'"),
    ],
)
def test_broken_table_names_file_column_and_value(tmp_path, column, values, found):
    path = tmp_path / "samples.parquet"
    with pytest.raises(InputError):
        write_table(path, samples(**{column: values}), SAMPLES)
    assert os.listdir(tmp_path) == []
    samples(**{column: values}).to_parquet(path)
    with pytest.raises(InputError) as error:
        read_table(path, SAMPLES)
    for part in (str(path), f"column '{column}'", f"found {found}", "row 1"):
        assert part in str(error.value).replace("row 0", "row 1")


def test_missing_column_is_named(tmp_path):
    with pytest.raises(InputError, match="audio_id"):
        write_table(tmp_path / "samples.parquet", samples().drop(columns="audio_id"), SAMPLES)


def test_missing_table_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.parquet is missing.*dvc repro"):
        read_table(tmp_path / "nowhere.parquet", SAMPLES)


@pytest.mark.parametrize("count", [0, 1, 25_000])  # none, one batch, three
def test_table_written_row_by_row_comes_back(tmp_path, count):
    rows = [{"id": str(n), "asset": None if n % 2 else "x", "word": "good"} for n in range(count)]
    path = tmp_path / "table.parquet"
    with TableWriter(path, WORDS, WORD_TYPES) as writer:
        for row in rows:
            writer.add(row)
        assert not path.exists()
    assert list(read_rows(path)) == rows
    assert len(read_table(path, WORDS)) == count


def test_rows_are_counted_batch_by_batch(tmp_path):
    table = {"split": ["train"] * 12_000 + ["test"] * 3, "tags": [["a"], [], None] * 4001}
    frame = pd.DataFrame(table).assign(row=range(12_003))
    frame.to_parquet(tmp_path / "table.parquet", index=False)
    found = list(count_rows(tmp_path / "table.parquet", "split", "tags"))
    assert found[0] == (("train", ("a",)), 3334) and len(found) == 3 + 3 + 3
    assert found[-3:] == [(("test", tags), 1) for tags in (("a",), (), None)]
    assert sum(count for _, count in found) == 12_003
    assert list(read_rows(tmp_path / "table.parquet", "row"))[-1] == {"row": 12_002}


def test_rows_with_values_are_found_in_every_batch(tmp_path):
    path = tmp_path / "table.parquet"
    frame = pd.DataFrame({"id": map(str, range(25_000)), "word": ["a", "b", None, "d", "e"] * 5000})
    frame.to_parquet(path)
    assert read_where(path, "id", {"7", "24999", "no"}, "word", "id").to_pydict() == {
        "word": [None, "e"],
        "id": ["7", "24999"],
    }
    assert len(read_where(path, "word", ["a", "b"], "id")) == 10_000
    assert read_where(path, "word", (), "id").to_pydict() == {"id": []}


@pytest.mark.parametrize("bad", [9, 24_000], ids=["first batch", "last batch"])
def test_row_that_breaks_schema_leaves_no_table(tmp_path, bad):
    path = tmp_path / "table.parquet"
    with (
        pytest.raises(InputError, match="column 'word'"),
        TableWriter(path, WORDS, WORD_TYPES) as writer,
    ):
        for n in range(25_000):
            writer.add({"id": "a", "asset": None, "word": "Bad!" if n == bad else "good"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"PAR1", b"<html>", bytes(100)], ids=ascii)
def test_damaged_table_is_named(tmp_path, content):
    path = tmp_path / "words.parquet"
    path.write_bytes(content)
    for read in (lambda: read_table(path, WORDS), lambda: [*read_rows(path)]):
        with pytest.raises(InputError, match="words.parquet is not Parquet: .* run: dvc repro"):
            read()
    with pytest.raises(InputError, match="words.parquet is missing"):
        next(count_rows(tmp_path / "none" / "words.parquet", "id"))


def test_table_with_damaged_rows_is_named(tmp_path):
    path = tmp_path / "words.parquet"
    with TableWriter(path, WORDS, WORD_TYPES) as writer:
        for n in range(5000):
            writer.add({"id": str(n), "asset": None, "word": "good"})
    path.write_bytes(b"PAR1" + bytes(996) + path.read_bytes()[1000:])
    readers = (read_rows(path), read_batches(path, WORDS), count_rows(path, "id"))
    for rows in readers:
        with pytest.raises(InputError, match="words.parquet is not Parquet: .* run: dvc repro"):
            list(rows)
    with pytest.raises(InputError, match="words.parquet is not Parquet: .* run: dvc repro"):
        read_where(path, "id", ["1"], "word")
