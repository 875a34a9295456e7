"""A trained model that predicts from raw media."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from components.common.errors import InputError, Problem
from components.data.assets import MISSING
from components.layers.features import Features
from components.modalities.modality import Processor, UnusableAsset
from components.modalities.registry import MODALITIES, inspection_of, processing_of
from components.model.folder import load_model, load_processor_states
from components.tasks.names import confidence_column

UNDECODABLE = (OSError, RuntimeError, SyntaxError, ValueError)


class UnusableRow(InputError):
    """A row that the model does not predict; `reason` is a code, ingest's own where it has one."""

    def __init__(self, row: int, reason: str, detail: str):
        super().__init__(f"row {row} {detail} ({reason})")
        self.row, self.reason = row, reason


class Predictor:
    """Predicts every task for rows of media, any modality missing, with the model in a folder.

    Media pass the checks of ingest first: what no model learns from, none predicts from.
    """

    def __init__(self, folder: Path):
        self.model = load_model(folder)
        self._states = load_processor_states(folder, self.model)
        self._processors: dict[str, Processor] = {}  # those that were asked for

    def processor(self, modality: str) -> Processor:
        """Return the processor of a modality; to build one means to import its libraries."""
        if modality not in self._processors:
            built = processing_of(modality).build(self._states[modality])
            self._processors[modality] = built
        return self._processors[modality]

    @torch.no_grad()
    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        """Predict for the rows of a table.

        Args:
            table: a column per modality with the bytes of files, or strings of inline modalities;
                null, or without the column, where a modality is missing.

        Return for each task a column with the prediction and, if it has one, a column
        `<task>_confidence`; null where the modalities given cannot decide the task. Raise
        `UnusableRow` if there is no row, or one that has no modality, or one that the model was not
        trained on, or media that ingest refuses.
        """
        self._check_columns(table)
        if not len(table):
            raise self._row_empty(0)
        encoded = {m: self._encode(m, table) for m in self.model.config.modalities}
        features = {m: found for m, (found, _) in encoded.items() if found is not None}
        rows = {m: places for m, (_, places) in encoded.items()}
        presence = torch.stack([places != MISSING for places in rows.values()], 1)  # [B, M]
        if len(empty := (~presence.any(1)).nonzero()):
            raise self._row_empty(int(empty[0]))
        logits = self.model(features, rows)
        columns = {}
        for task, found in logits.items():
            columns |= self._columns(task, found, presence)
        return pd.DataFrame(columns)

    def _check_columns(self, table: pd.DataFrame) -> None:
        """See that no row has a modality that the model was not trained on."""
        known = self.model.config.modalities
        for m in MODALITIES:
            if m in table and m not in known and (given := table[m].notna()).any():
                raise UnusableRow(
                    int(given.to_numpy().argmax()),
                    "modality_unknown",
                    f"has {m}, but no sample that the model was trained on had any. Give it "
                    f"{', '.join(known)} only",
                )

    def _row_empty(self, row: int) -> UnusableRow:
        detail = f"has none of {', '.join(self.model.config.modalities)}; give at least one"
        return UnusableRow(row, "row_empty", detail)

    def _encode(self, modality: str, table: pd.DataFrame) -> tuple[Features | None, Tensor]:
        """Return features of the rows that have the modality, and each row's place in them [B]."""
        places = torch.full((len(table),), MISSING)
        given = table[modality].notna() if modality in table else pd.Series(False, table.index)
        if not given.any():
            return None, places
        rows = torch.tensor(given.to_numpy()).nonzero().squeeze(1)
        cells = zip(rows.tolist(), table.loc[given, modality], strict=True)
        inputs = self._process(modality, {row: content(row, modality, v) for row, v in cells})
        places[rows] = torch.arange(len(rows))
        tensors = {name: torch.as_tensor(value) for name, value in inputs.items()}
        return self.model.encoder(modality).encode(tensors), places

    def _process(self, modality: str, contents: Mapping[int, bytes]) -> Mapping[str, Any]:
        """Convert the files of some rows; on an error, find the row that is at fault."""
        process = self.processor(modality)
        try:
            return process(list(contents.values()))
        except UNDECODABLE:
            for row, each in contents.items():
                try:
                    process([each])
                except UnusableAsset as error:
                    raise unusable(row, modality, error.problem) from error
                except UNDECODABLE as error:
                    problem = Problem("media_unusable", str(error))
                    raise unusable(row, modality, problem) from error
            raise

    def _columns(self, task: str, logits: Any, presence: Tensor) -> dict[str, list]:
        answerable = self.model.config.answerable(task, presence).tolist()
        predictions = self.model.tasks[task].predict(logits)
        columns = {task: predictions.values, confidence_column(task): predictions.confidence}
        return {
            name: [v if ok else None for v, ok in zip(values, answerable, strict=True)]
            for name, values in columns.items()
            if values is not None
        }


def content(row: int, modality: str, value: Any) -> bytes:
    """Return what a cell holds as the bytes of a file; raise `UnusableRow` if ingest refuses it."""
    if isinstance(value, str):
        value = value.encode(errors="surrogatepass")  # the check refuses half of a surrogate pair
    if not isinstance(value, bytes):
        problem = Problem("row_malformed", f"found {type(value).__name__}, expected text or bytes")
        raise unusable(row, modality, problem)
    found = inspection_of(modality).inspect(value)
    if isinstance(found, Problem):
        raise unusable(row, modality, found)
    return value


def unusable(row: int, modality: str, problem: Problem) -> UnusableRow:
    """Return the error about a row whose medium has a problem."""
    detail = f"has {modality} that cannot be used: {problem.detail}"
    return UnusableRow(row, problem.reason, detail)
