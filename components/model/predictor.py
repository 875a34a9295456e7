"""A trained model that predicts from raw media."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from components.common.errors import InputError
from components.data.assets import MISSING
from components.layers.features import Features
from components.modalities.registry import MODALITIES, processing_of
from components.model.folder import load_model, load_processor_states

UNDECODABLE = (OSError, RuntimeError, SyntaxError, ValueError)


class Predictor:
    """Predicts every task for rows of media, any modality missing, with the model in a folder."""

    def __init__(self, folder: Path):
        self.model = load_model(folder)
        states = load_processor_states(folder, self.model)
        self.processors = {m: processing_of(m).build(state) for m, state in states.items()}

    @torch.no_grad()
    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        """Predict for the rows of a table.

        Args:
            table: a column per modality with the bytes of files, or strings of inline modalities;
                null, or without the column, where a modality is missing.

        Return for each task a column with the prediction and, if it has one, a column
        `<task>_confidence`; null where the modalities given cannot decide the task. Raise
        `InputError` if a row has no modality, or one that the model was not trained on, or if a
        file cannot be decoded.
        """
        self._check_columns(table)
        encoded = {m: self._encode(m, table) for m in self.model.config.modalities}
        features = {m: found for m, (found, _) in encoded.items() if found is not None}
        rows = {m: places for m, (_, places) in encoded.items()}
        presence = torch.stack([places != MISSING for places in rows.values()], 1)  # [B, M]
        if len(empty := (~presence.any(1)).nonzero()):
            raise InputError(
                f"row {int(empty[0])} has none of {', '.join(rows)}; give at least one"
            )
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
                raise InputError(
                    f"row {int(given.to_numpy().argmax())} has {m}, but no sample that the model "
                    f"was trained on had any. Give it {', '.join(known)} only"
                )

    def _encode(self, modality: str, table: pd.DataFrame) -> tuple[Features | None, Tensor]:
        """Return features of the rows that have the modality, and each row's place in them [B]."""
        places = torch.full((len(table),), MISSING)
        given = table[modality].notna() if modality in table else pd.Series(False, table.index)
        if not given.any():
            return None, places
        rows = torch.tensor(given.to_numpy()).nonzero().squeeze(1)
        contents = [v.encode() if isinstance(v, str) else v for v in table.loc[given, modality]]
        inputs = self._process(modality, dict(zip(rows.tolist(), contents, strict=True)))
        places[rows] = torch.arange(len(contents))
        tensors = {name: torch.as_tensor(value) for name, value in inputs.items()}
        return self.model.encoder(modality)(**tensors), places

    def _process(self, modality: str, contents: Mapping[int, bytes]) -> Mapping[str, Any]:
        """Convert the files of some rows; on an error, find the row that is at fault."""
        process = self.processors[modality]
        try:
            return process(list(contents.values()))
        except UNDECODABLE:
            for row, content in contents.items():
                try:
                    process([content])
                except UNDECODABLE as error:
                    raise InputError(
                        f"row {row} has {modality} that cannot be used: {error}"
                    ) from error
            raise

    def _columns(self, task: str, logits: Any, presence: Tensor) -> dict[str, list]:
        answerable = self.model.config.answerable(task, presence).tolist()
        predictions = self.model.tasks[task].predict(logits)
        columns = {task: predictions.values, f"{task}_confidence": predictions.confidence}
        return {
            name: [v if ok else None for v, ok in zip(values, answerable, strict=True)]
            for name, values in columns.items()
            if values is not None
        }
