"""Command line and settings of the evaluation of any model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from components.data.settings import EvaluatedSplit
from components.evaluate.settings import TestSplit
from components.stage.arguments import Arguments, input_path, option, output_path
from components.stage.settings import TorchSettings
from components.tasks.registry import Tasks


@dataclass(frozen=True, kw_only=True)
class EvaluationArguments(Arguments):
    """The command line."""

    model: Path = input_path("folder, the model")
    samples: Path = input_path("Parquet, the samples, of which the held-out ones are predicted")
    media: Path = input_path("folder, one media shard set per modality")
    baselines: Path | None = input_path("Parquet, as the stage baselines writes it", optional=True)
    evaluation: Path = output_path("folder of the results; kept as it is if they are up to date")
    suite: Literal["none", "quick", "full"] = option("of corruptions", "none")


class EvaluationSettings(TorchSettings):
    """What the evaluation reads of params.yaml."""

    tasks: Tasks
    ingest: TestSplit = TestSplit()
    evaluate: EvaluatedSplit = EvaluatedSplit()
