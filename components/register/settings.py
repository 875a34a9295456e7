"""Command line and settings of registration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from components.registry import defaults
from components.stage.arguments import Arguments, input_path, option, output_path
from components.stage.settings import Section, Settings

Alias = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


@dataclass(frozen=True, kw_only=True)
class RegisterArguments(Arguments):
    """The files of a model, all of which are registered."""

    model: Path = input_path("folder, the trained model")
    metrics: Path = input_path("JSON, the figures of the evaluate stage")
    retrieval: Path = input_path("JSON, the figures of the align stage")
    predictions: Path = input_path("Parquet, the predictions of the evaluate stage")
    histories: Path = input_path("folder, metrics by epoch, one CSV per stage")
    steps: Path = input_path("Parquet, losses and other values by step of joint training")
    plots: Path = input_path("folder, plots as PNG")
    report: Path = input_path("HTML, the evaluation")
    data_report: Path = input_path("JSON, what is in the data")
    data_plots: Path = input_path("folder, the same as PNG")
    data_page: Path = input_path("HTML, the same on one page")
    samples: Path = input_path("Parquet, the samples; a held-out one is the input example")
    media: Path = input_path("folder, one media shard set per modality")
    registration: Path = output_path("JSON, what was registered, without anything that varies")
    lock: Path = option("dvc.lock, whose hashes and settings the run records", Path("dvc.lock"))
    gates: Path = option("YAML, the gates, which say what figures decide", Path("params.yaml"))


class RegisterSettings(Section):
    """MLflow's experiment, the name of the registered model, and the alias of a new version."""

    experiment: Annotated[str, Field(min_length=1)] = "synesthesia"
    """Name of MLflow's experiment."""
    model: ModelName = defaults.MODEL
    """Name of the model in MLflow's registry."""
    alias: Alias = defaults.NEWEST
    """Alias of the new version."""


class RegisterStageSettings(Settings):
    """What the stage reads of params.yaml."""

    register_: RegisterSettings = Field(RegisterSettings(), alias="register")
