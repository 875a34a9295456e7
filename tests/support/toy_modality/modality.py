"""The record of vectors, and their settings."""

from typing import Annotated

from pydantic import Field

from components.huggingface.locate import EncoderNames
from components.modalities.modality import Modality
from components.modalities.settings import EncoderSettings, InputSettings


class VectorSettings(InputSettings):
    """How a vector becomes a tensor.

    Attributes:
        length: numbers; longer vectors are cut, shorter ones padded with zeros.
    """

    length: Annotated[int, Field(ge=1, le=4096)]


MODALITY = Modality(
    name="vector",
    inputs=VectorSettings,
    encoder=EncoderSettings,
    encoder_names=EncoderNames(modality="vector", built_in=("mlp",)),
    measures={"numbers": "vector [numbers]"},
    mlflow_type="binary",
    is_leak=True,
)
