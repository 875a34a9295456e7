"""A trained model that answers from raw media."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image

from components.common.errors import InputError
from components.data.assets import MISSING
from components.modalities.processors import build_processors
from components.modalities.registry import MODALITIES, Modality
from components.model.folder import load_model

UNDECODABLE = (OSError, RuntimeError, SyntaxError, ValueError, Image.DecompressionBombError)


class Predictor:
    """Answers every task for rows of image, text and sound, any of them missing."""

    def __init__(self, folder: Path):
        """Load a model folder.

        Raises:
            InputError: the folder holds no model.
        """
        self.model, tokenizer = load_model(folder)
        config = self.model.config
        self.processors = build_processors(config.preprocess, config.descriptions, tokenizer)

    @torch.no_grad()
    def __call__(self, table: pd.DataFrame) -> pd.DataFrame:
        """Answer the rows of `table`.

        Args:
            table: columns `image` (bytes of an image file), `text` (a string) and `audio` (bytes
                of a sound file); null, or no such column, where a modality is missing.

        Returns:
            For each task a column with the answer and, unless it is a number, one,
            `<task>_confidence`, with its probability; null where the modalities given cannot
            decide the task. See the kinds of task for their types.

        Raises:
            InputError: a row has no modality at all, or one that the model never learnt, or a
                file cannot be decoded.
        """
        encoded = [self._encode(m, table) for m in MODALITIES]
        features = {m: f for m, (f, _) in zip(MODALITIES, encoded, strict=True) if f is not None}
        rows = {m: r for m, (_, r) in zip(MODALITIES, encoded, strict=True)}
        presence = torch.stack([rows[m] != MISSING for m in MODALITIES], 1)  # [B, M]
        if len(empty := (~presence.any(1)).nonzero()):
            raise InputError(
                f"row {int(empty[0])} has no image, no text and no audio; give at least one"
            )
        logits = self.model(features, rows)
        return pd.DataFrame(
            {k: v for task in logits for k, v in self._answer(task, logits[task], presence).items()}
        )

    def _encode(self, modality: Modality, table: pd.DataFrame):
        """Features of the rows that have the modality, and where each row's are, [B]."""
        rows = torch.full((len(table),), MISSING)
        given = table[modality].notna() if modality in table else pd.Series(False, table.index)
        if not given.any():
            return None, rows
        if modality not in (learnt := self.model.config.learnt):
            raise InputError(
                f"row {int(given.to_numpy().argmax())} has {modality}, but no sample that the "
                f"model was trained on had any. Give it {', '.join(learnt)} only"
            )
        contents = [v.encode() if isinstance(v, str) else v for v in table.loc[given, modality]]
        places = torch.tensor(given.to_numpy()).nonzero().squeeze(1)
        inputs = self._process(modality, dict(zip(places.tolist(), contents, strict=True)))
        rows[places] = torch.arange(len(contents))
        tensors = {name: torch.as_tensor(value) for name, value in inputs.items()}
        return self.model.encoders[modality](**tensors), rows

    def _process(self, modality: Modality, contents: Mapping[int, bytes]) -> Mapping[str, Any]:
        """What the encoder takes of some rows; if it cannot be made, which row is at fault."""
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

    def _answer(self, task: str, logits: torch.Tensor, presence: torch.Tensor) -> dict:
        asked = self.model.config.answerable(task, presence).tolist()
        answers = self.model.kinds[task].predict(logits)
        columns = {task: answers.values, f"{task}_confidence": answers.confidence}
        return {
            name: [value if ok else None for value, ok in zip(values, asked, strict=True)]
            for name, values in columns.items()
            if values is not None
        }
