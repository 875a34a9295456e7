"""Settings of preprocessing."""

from typing import Any

from pydantic import create_model

from components.modalities.registry import modality
from components.stage.settings import Settings, WorkerSettings, with_fields


class PreprocessSettings(WorkerSettings):
    """Settings that every modality has."""

    preprocess: Any
    features: Any


def settings_for(m: str) -> type[PreprocessSettings]:
    """Return the settings of a modality."""
    record = modality(m)
    inputs = with_fields(Settings, "Inputs", {m: record.inputs})
    fields = record.encoder.model_fields
    read: dict[str, Any] = {
        key: (fields[key].annotation, fields[key]) for key in record.encoder_keys
    }
    encoder = create_model("Encoder", __base__=Settings, **read)
    features = with_fields(Settings, "Features", {m: encoder})
    sections = {"preprocess": inputs, "features": features}
    return with_fields(PreprocessSettings, "PreprocessSettings", sections)
