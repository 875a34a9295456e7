"""What a run says of the data."""

import json
from pathlib import Path

import pandas as pd
import pytest
from mlflow.models import infer_signature

from components.data.samples import SPLITS
from components.modalities.registry import MODALITIES
from components.register.lineage import FIRST_ROWS, datasets

COUNT = 3 * FIRST_ROWS
LATE = [None] * (COUNT - 1)  # before a value that only the last row has
COLUMNS = {
    "word": ["a"] * COUNT,
    "late word": [*LATE, "a"],
    "number": [1.5] * COUNT,
    "late gap": [1.5, *LATE],
    "words": [["a", "b"]] * COUNT,
    "late words": [*LATE, ["a"]],
}


@pytest.mark.parametrize("column", COLUMNS)
def test_types_of_columns_are_those_of_all_rows(column):
    split = [SPLITS[n % 3] for n in range(COUNT)]
    table = pd.DataFrame({"split": split, "column": COLUMNS[column]})
    table = table.assign(**{f"{m}_id": None for m in MODALITIES[1:]}, image_id="an image")
    table = table.astype({f"{m}_id": "str" for m in MODALITIES})
    hashes = {"samples": "1", **{f"media/{m}": "2" for m in MODALITIES}}
    first, *_ = datasets(Path("samples"), table, Path("media"), hashes)
    expected = infer_signature(table).inputs.to_dict()
    assert json.loads(first.dataset.schema)["mlflow_colspec"] == expected
