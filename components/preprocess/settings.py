"""Settings of preprocessing."""

from typing import Any

from components.modalities.registry import modality
from components.stage.settings import Settings, WorkerSettings, part_of, with_fields


class PreprocessSettings(WorkerSettings):
    """Settings that every modality has."""

    preprocess: Any
    features: Any


def settings_for(m: str) -> type[PreprocessSettings]:
    """Return the settings of a modality."""
    record = modality(m)
    inputs = with_fields(Settings, "Inputs", {m: record.inputs})
    encoder = part_of(record.encoder, record.encoder_keys)
    features = with_fields(Settings, "Features", {m: encoder})
    sections = {"preprocess": inputs, "features": features}
    return with_fields(PreprocessSettings, "PreprocessSettings", sections)
