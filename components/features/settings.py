"""Settings of the encoder of a modality and of its training."""

from typing import Any

from pydantic import model_validator

from components.data.settings import ConflictingLabels
from components.modalities.registry import modality
from components.stage.settings import Settings, TorchSettings, with_fields
from components.tasks.registry import Tasks


class FeaturesSettings(TorchSettings):
    """Settings that every modality has."""

    tasks: Tasks
    ingest: ConflictingLabels = ConflictingLabels()
    preprocess: Any
    features: Any

    @model_validator(mode="after")
    def _sections_fit_each_other(self):
        for m, encoder in self.features:
            modality(m).check(getattr(self.preprocess, m), encoder)
        return self


def settings_for(m: str) -> type[FeaturesSettings]:
    """Return the settings of a modality."""
    record = modality(m)
    inputs = with_fields(Settings, "Inputs", {m: record.inputs})
    features = with_fields(Settings, "Features", {m: record.encoder})
    sections = {"preprocess": inputs, "features": features}
    return with_fields(FeaturesSettings, "FeaturesSettings", sections)
