"""How one vector is made of the tokens of a sound."""

import torch
from torch import Tensor, nn

from components.layers.features import masked_mean


class MeanPooling(nn.Module):
    """The mean over the tokens."""

    def __init__(self, width: int):
        super().__init__()

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """[N, T, D] and, true at sound, [N, T] → [N, D]."""
        return masked_mean(tokens, mask)


class MeanMaxPooling(nn.Module):
    """A linear map of the mean and of the maximum over the tokens.

    A word that fills a part of a noisy sound is faint in the mean and clear in the maximum.
    """

    def __init__(self, width: int):
        super().__init__()
        self.out = nn.Linear(2 * width, width)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """[N, T, D] and, true at sound, [N, T] → [N, D]."""
        highest = tokens.masked_fill(~mask[..., None], -torch.inf).amax(1)  # [N, D]
        return self.out(torch.cat([masked_mean(tokens, mask), highest], 1))


POOLINGS: dict[str, type[nn.Module]] = {"mean": MeanPooling, "mean_max": MeanMaxPooling}
