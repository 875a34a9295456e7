"""The tokens of every modality as a Transformer reads them."""

import torch
from torch import Tensor, nn

from components.modalities.registry import MODALITIES, Modality

GAIN = 0.1  # of the positions, at first


class Tokens(nn.Module):
    """A linear map of a modality's tokens, plus its embedding, plus where each token stands.

    Attention sees a set: without the embedding it cannot tell modalities apart, without positions
    not left from right. Most encoders add positions to what they read; of one that does not, as a
    convolutional network, the tokens have none but what it sees of an image's edge. Positions are
    the sinusoids of section 3.5 of Vaswani et al. 2017, which have no longest sequence, times a
    learnt gain (Li et al. 2019, neural speech synthesis with Transformer network), so that they
    need not drown what they are added to.
    """

    def __init__(self, width_in: int, width: int):
        super().__init__()
        self.maps = nn.ModuleDict({m: nn.Linear(width_in, width, bias=False) for m in MODALITIES})
        self.modality = nn.ParameterDict({m: torch.empty(width) for m in MODALITIES})
        self.position = nn.ParameterDict({m: torch.full((1,), GAIN) for m in MODALITIES})
        for embedding in self.modality.values():
            nn.init.normal_(embedding, std=0.02)

    def forward(self, modality: Modality, tokens: Tensor) -> Tensor:
        """[N, T, E] → [N, T, D]."""
        mapped = self.maps[modality](tokens)
        places = sinusoids(*mapped.shape[1:]).to(mapped)  # [T, D]
        return mapped + self.modality[modality] + self.position[modality] * places


def sinusoids(length: int, width: int) -> Tensor:
    """sin(t / 10000^(i/width)) and its cosine in turns, i even: float [length, width]."""
    rates = 10_000 ** -(torch.arange(0, width, 2) / width)
    angles = torch.arange(length)[:, None] * rates  # [T, ⌈D/2⌉]
    return torch.stack([angles.sin(), angles.cos()], 2).flatten(1)[:, :width]
