"""The settings of all stages together."""

from collections.abc import Mapping
from typing import Any

from components.align.settings import AlignStageSettings
from components.baselines.settings import stage_settings as baselines_settings
from components.evaluate.evaluation.settings import EvaluationSettings
from components.evaluate.settings import EvaluateSettings, EvaluateStageSettings
from components.features.settings import settings_for as features_settings
from components.ingest.settings import IngestStageSettings
from components.modalities.registry import MODALITIES
from components.preprocess.settings import settings_for as preprocess_settings
from components.register.settings import RegisterStageSettings
from components.stage.settings import Settings, problems
from components.train.settings import TrainStageSettings


class PipelineSettings(
    IngestStageSettings,
    TrainStageSettings,
    AlignStageSettings,
    EvaluateStageSettings,
    RegisterStageSettings,
):
    """Everything that stages read; classes that read a section as a whole come first."""

    evaluate: EvaluateSettings = EvaluateSettings()  # which the first ones read a part of


STAGES: tuple[type[Settings], ...] = (
    IngestStageSettings,
    *map(preprocess_settings, MODALITIES),
    *map(features_settings, MODALITIES),
    AlignStageSettings,
    TrainStageSettings,
    baselines_settings(),
    EvaluateStageSettings,
    EvaluationSettings,
    RegisterStageSettings,
)


def all_problems(content: Any, *more: type[Settings]) -> list[str]:
    """Return a line for everything that any stage, or one of `more`, finds wrong."""
    found = (line for sections in (*STAGES, *more) for line in problems(content, sections))
    return list(dict.fromkeys(found))


def resolved(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting that a stage reads, defaults included, of valid parsed settings."""
    return PipelineSettings.model_validate(content).model_dump(mode="json", by_alias=True)
