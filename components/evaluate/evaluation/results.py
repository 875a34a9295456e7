"""The results of an evaluation, as a folder."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from components.common.files import read_json, write_json
from components.common.metrics import Figures
from components.data.tables import read_table, write_table
from components.evaluate.tables import CONTRIBUTIONS, ROBUSTNESS
from components.tasks.metrics import PREDICTIONS

RESULTS, PREDICTED = "evaluation.json", "predictions.parquet"
CONTRIBUTED, CORRUPTED = "contributions.parquet", "robustness.parquet"


@dataclass(frozen=True)
class Evaluation:
    """An evaluation on disk; its JSON file is written last and makes it complete."""

    folder: Path

    @property
    def exists(self) -> bool:
        """Whether the evaluation is complete."""
        return (self.folder / RESULTS).exists()

    @cached_property
    def content(self) -> dict[str, Any]:
        """The JSON file: `figures`, `tasks`, `latency`, `robustness` and the size."""
        return read_json(self.folder / RESULTS)

    @cached_property
    def figures(self) -> Figures:
        """Every metric."""
        return Figures(self.content["figures"])

    @property
    def unmeasured(self) -> list[str]:
        """The tasks of params.yaml without a primary metric: no head, or no labelled sample."""
        return [task for task in self.content["tasks"] if self.figures.primary(task) is None]

    @cached_property
    def contributions(self) -> pd.DataFrame:
        """What clusters of predictions add to primary metrics, a table as `CONTRIBUTIONS`."""
        return read_table(self.folder / CONTRIBUTED, CONTRIBUTIONS)

    @cached_property
    def robustness(self) -> pd.DataFrame:
        """Primary metrics under corruptions, a table as `ROBUSTNESS`."""
        return read_table(self.folder / CORRUPTED, ROBUSTNESS)

    def write(
        self,
        content: dict[str, Any],
        predictions: pd.DataFrame,
        contributions: pd.DataFrame,
        robustness: pd.DataFrame,
    ) -> None:
        """Replace the results."""
        (self.folder / RESULTS).unlink(missing_ok=True)
        write_table(self.folder / PREDICTED, predictions, PREDICTIONS)
        write_table(self.folder / CONTRIBUTED, contributions, CONTRIBUTIONS)
        write_table(self.folder / CORRUPTED, robustness, ROBUSTNESS)
        write_json(self.folder / RESULTS, content)
