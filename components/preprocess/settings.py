"""Settings of preprocessing."""

from typing import Any

from components.modalities.registry import modality
from components.modalities.settings import EncoderName
from components.stage.settings import Settings, Workers, with_fields


class PreprocessSettings(Settings):
    """Settings that every modality has."""

    workers: Workers
    preprocess: Any
    features: Any


class _Encoder(Settings):
    encoder: EncoderName


def settings_for(m: str) -> type[PreprocessSettings]:
    """Return the settings of a modality."""
    inputs = with_fields(Settings, "Inputs", {m: modality(m).inputs})
    features = with_fields(Settings, "Features", {m: _Encoder})
    sections = {"preprocess": inputs, "features": features}
    return with_fields(PreprocessSettings, "PreprocessSettings", sections)
