"""Tokens of every modality with their modality and position."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

INITIAL_GAIN = 0.1  # of the positions


class ModalityEmbedding(nn.Module):
    """A linear map of a modality's tokens, plus an embedding of the modality, plus positions.

    Attention sees a set: without the embedding it cannot tell modalities apart, without positions
    not left from right. Most encoders add positions to their input; the tokens of one that does
    not, such as a convolutional network, only know what it sees of an image's edge. Positions are
    the sinusoids of section 3.5 of Vaswani et al. 2017, which allow any length, times a learnt gain
    (Li et al. 2019, neural speech synthesis with Transformer network), so that they need not drown
    the tokens.
    """

    def __init__(self, modalities: Sequence[str], width_in: int, width: int):
        super().__init__()
        self.maps = nn.ModuleDict({m: nn.Linear(width_in, width, bias=False) for m in modalities})
        self.modality = nn.ParameterDict({m: torch.empty(width) for m in modalities})
        self.position = nn.ParameterDict({m: torch.full((1,), INITIAL_GAIN) for m in modalities})
        for embedding in self.modality.values():
            nn.init.normal_(embedding, std=0.02)

    def forward(self, modality: str, tokens: Tensor) -> Tensor:
        """[N, T, E] → [N, T, D]."""
        mapped = self.maps[modality](tokens)
        places = sinusoids(*mapped.shape[1:]).to(mapped)  # [T, D]
        return mapped + self.modality[modality] + self.position[modality] * places


def sinusoids(length: int, width: int) -> Tensor:
    """Return sin(t / 10000^(i/width)) and its cosine alternating, i even: float [length, width]."""
    rates = 10_000 ** -(torch.arange(0, width, 2) / width)
    angles = torch.arange(length)[:, None] * rates  # [T, ⌈D/2⌉]
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, :width]
