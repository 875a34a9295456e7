"""Options of retrieval."""

from typing import Literal

from pydantic import model_validator

from components.modalities.registry import ModalityName
from components.tasks.settings import TaskSettings


class RetrievalSettings(TaskSettings):
    """Finding an asset of one modality by one of another that shares a value with it."""

    kind: Literal["retrieval"] = "retrieval"
    query: ModalityName
    """Modality of the given asset."""
    target: ModalityName
    """Modality of the asset to find."""

    @model_validator(mode="after")
    def _modalities_differ(self):
        if self.query == self.target:
            raise ValueError(f"query and target are both {self.query}; expected two modalities")
        return self

    @property
    def direction(self) -> str:
        """Query and target as `text to image`."""
        return f"{self.query} to {self.target}"


SETTINGS = RetrievalSettings
