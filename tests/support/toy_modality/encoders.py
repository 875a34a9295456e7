"""The encoder of vectors."""

from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor, nn

from components.common.errors import InputError
from components.huggingface.description import Description
from components.huggingface.models import EncoderInterface
from components.layers.features import Encoder, Features
from components.modalities.settings import EncoderSettings
from components.modalities.vector.modality import VectorSettings


def _refuse(place: Path, model: nn.Module) -> NoReturn:
    raise InputError("no model of Transformers encodes vectors")


INTERFACE = EncoderInterface(input_names=(), tower="", describe_inputs=_refuse)


class MlpEncoder(Encoder):
    """A multilayer perceptron: one token per vector."""

    def __init__(self, inputs: VectorSettings, options: EncoderSettings):
        super().__init__()
        self.width = options.width
        self.layers = nn.Sequential(
            nn.Linear(inputs.length, options.width),
            nn.ReLU(),
            nn.Dropout(options.dropout),
            nn.Linear(options.width, options.width),
        )

    def forward(self, values: Tensor) -> Features:
        """float32 [N, L] → features with one token."""
        x = self.layers(values)  # [N, D]
        return Features(x[:, None], torch.ones(len(x), 1, dtype=torch.bool, device=x.device), x)


def build(
    inputs: VectorSettings, options: EncoderSettings, description: Description | None
) -> Encoder:
    """See `Encoders`."""
    return MlpEncoder(inputs, options)
