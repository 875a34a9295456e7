"""Prediction of a table: rows that cannot be used are set aside with the reason of ingest."""

import os

import pandas as pd
import pyarrow
import pytest
from mlflow import MlflowException
from pyarrow import parquet

from components.common.errors import InputError
from components.serving.batch import predict_rows, predict_table
from tests.support.media import png

REFUSED = {  # text and image of a row → reason
    ("", None): "text_empty",
    (" \u200b\n", None): "text_empty",
    ("a" * 20_001, None): "text_too_long",
    ("", "cat.png"): "text_empty",
    ("why?", "none.png"): "file_unreadable",
    ("why?", ""): "file_unreadable",
    ("why?", "pipe"): "file_unreadable",
    ("why?", "cat\0.png"): "file_unreadable",
    ("why?", "text.txt"): "image_undecodable",
    (None, None): "row_empty",
}


def test_rows_that_ingest_refuses_are_set_aside(served, tmp_path):
    (tmp_path / "cat.png").write_bytes(png())
    (tmp_path / "text.txt").write_text("no image")
    os.mkfifo(tmp_path / "pipe")
    rows = [("why?", "cat.png"), *REFUSED, ("what?", None)]
    pd.DataFrame(rows, columns=["text", "image"]).to_parquet(tmp_path / "in.parquet")
    said = predict_table(served, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert said.startswith("2 of 12 rows predicted")
    first, *others, last = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    for row in (first, last):
        assert row["error"] is None and row["answer"]
    for (case, reason), row in zip(REFUSED.items(), others, strict=True):
        assert row["answer"] is None and row["error"].endswith(f"({reason})"), case


@pytest.mark.parametrize(
    ("output", "kind", "message"),
    [
        (
            "in.parquet",
            InputError,
            "--output: .*in.parquet is the table, whose media would be lost",
        ),
        ("./in.parquet", InputError, "is the table"),
        ("folder", IsADirectoryError, "folder"),
        ("in.parquet/out.parquet", FileExistsError, "in.parquet"),
    ],
)
def test_output_that_cannot_be_written_is_no_fault_of_the_table(
    served, tmp_path, output, kind, message
):
    (tmp_path / "folder").mkdir()
    table = tmp_path / "in.parquet"
    pd.DataFrame({"text": ["why?"]}).to_parquet(table)
    before = table.read_bytes()
    with pytest.raises(kind, match=message):
        predict_table(served, table, tmp_path / output)
    assert table.read_bytes() == before


def test_table_of_another_kind_is_named(tmp_path):
    (tmp_path / "in.parquet").write_text("text,label\na cat,x\n")
    with pytest.raises(InputError, match="it looks like CSV. Write it as Parquet"):
        predict_table(None, tmp_path / "in.parquet", tmp_path / "out.parquet")


def test_two_columns_of_a_name_are_refused(served, tmp_path):
    columns = pyarrow.Table.from_arrays([["why?"], ["what?"]], ["text", "text"])
    parquet.write_table(columns, tmp_path / "in.parquet")
    with pytest.raises(InputError, match="two columns text. Keep one of each"):
        predict_table(served, tmp_path / "in.parquet", tmp_path / "out.parquet")


def test_fault_of_the_model_is_no_fault_of_the_rows():
    class Broken:
        def predict(self, table):
            raise MlflowException("the model does not predict; the log has the reason")

    with pytest.raises(MlflowException, match="does not predict"):
        predict_rows(Broken(), [{"text": "why?"}])
