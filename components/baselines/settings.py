"""Settings of the baselines."""

from typing import Any

from components.modalities.registry import MODALITIES, modality
from components.stage.settings import Settings, WorkerSettings, part_of, with_fields
from components.tasks.registry import Tasks


class _Evaluate(Settings):
    baselines: bool = True


class BaselinesSettings(WorkerSettings):
    """What the stage reads of params.yaml; `preprocess` has the `plain_keys` of modalities."""

    tasks: Tasks
    preprocess: Any
    evaluate: _Evaluate = _Evaluate()


def stage_settings() -> type[BaselinesSettings]:
    """Return the settings of all modalities."""
    records = map(modality, MODALITIES)
    inputs = {r.name: part_of(r.inputs, r.plain_keys) for r in records if r.plain_keys}
    sections = {"preprocess": with_fields(Settings, "Inputs", inputs)}
    return with_fields(BaselinesSettings, "BaselinesSettings", sections)
