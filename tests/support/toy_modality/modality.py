"""The record of vectors, and their settings."""

from typing import Annotated

from pydantic import Field

from components.huggingface.locate import EncoderNames
from components.modalities.modality import Modality
from components.modalities.settings import EncoderName, EncoderSettings, InputSettings


class VectorSettings(InputSettings):
    """How a vector becomes a tensor."""

    length: Annotated[int, Field(ge=1, le=4096)] = 8
    """Numbers; longer vectors are cut, shorter ones padded with zeros."""


class VectorEncoderSettings(EncoderSettings):
    """An encoder of vectors."""

    encoder: EncoderName = "mlp"
    """mlp."""


MODALITY = Modality(
    name="vector",
    inputs=VectorSettings,
    encoder=VectorEncoderSettings,
    encoder_names=EncoderNames(modality="vector", built_in=("mlp",)),
    measures={"numbers": "vector [numbers]"},
    mlflow_type="binary",
    is_leak=True,
)
