"""The record of rows of numbers and categories, and their settings."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from components.huggingface.locate import EncoderNames
from components.modalities.modality import Facts, Modality, nearly_longest
from components.modalities.settings import (
    EncoderName,
    InputSettings,
    TransformerEncoderSettings,
)
from components.stage.settings import matching
from components.training.settings import BatchSize

ColumnsFile = Annotated[
    str,
    matching(r"[^/\\]+\.json", "the name of a .json file that lies in pretrained/tabular, or null"),
]


class TabularSettings(InputSettings):
    """How cells become entries of a table of embeddings."""

    SOURCE_KEYS = frozenset({"columns"})

    columns: ColumnsFile | None = None
    """A .json file in pretrained/tabular that describes the columns; null: they are described by
    what their cells hold."""
    categories: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Columns whose numbers are names of something, as postal codes are; others with numbers are
    quantities."""
    knots: Annotated[int, Field(ge=2, le=256)] = 16
    """Quantiles of a column of numbers that have an embedding; in between it is interpolated."""
    max_categories: Annotated[int, Field(ge=1, le=100_000)] = 64
    """Categories of a column that have an embedding, the most frequent; the others share one."""
    vocab_size: Annotated[int, Field(ge=4, le=1_000_000)] = 1024
    """Size of the table of embeddings: a column of numbers takes 2 more than it has knots, a column
    of categories 2 more than it lists."""


class TabularEncoderSettings(TransformerEncoderSettings):
    """An encoder of rows."""

    encoder: EncoderName = "transformer"
    """transformer."""
    batch_size: BatchSize = 128
    """Rows per step."""


class _Tabular(Modality):
    def combine(self, cells: Mapping[str, str]) -> str:
        """A JSON object: column → text."""
        return json.dumps(cells, ensure_ascii=False)

    def check(self, inputs: TabularSettings, encoder: TabularEncoderSettings) -> None:
        """Weights need the columns that they were trained with."""
        if encoder.pretrained and inputs.columns is None:
            raise ValueError(
                "features.tabular.pretrained needs preprocess.tabular.columns: name the file that "
                "was exported with the encoder, since columns would have other embeddings"
            )

    def suggested_inputs(self, facts: Sequence[Facts]) -> dict[str, Any]:
        """Embeddings for the columns of nearly all rows."""
        needed = int(nearly_longest(int(fact["cells"]) for fact in facts)) * 32
        return {"vocab_size": max(TabularSettings().vocab_size, 2 ** (needed - 1).bit_length())}


MODALITY = _Tabular(
    name="tabular",
    inputs=TabularSettings,
    encoder=TabularEncoderSettings,
    encoder_names=EncoderNames(modality="tabular", built_in=("transformer",)),
    measures={"cells": "row [cells that are not missing]"},
    mlflow_type="string",
    is_leak=False,
    reasons={"vocab_size": "room for 32 entries per column"},
)
