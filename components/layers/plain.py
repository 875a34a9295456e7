"""Linear maps of plain features, which need no training, beside what an encoder learns."""

import torch
from torch import Tensor, nn

DROPOUT = 0.5  # of the plain features, so that none is relied on alone


class PlainLinear(nn.Sequential):
    """Standardise features by their mean and deviation in training, and map them.

    [N, F] → [N, D].
    """

    def __init__(self, width_in: int, width: int):
        super().__init__(
            nn.BatchNorm1d(width_in, affine=False),
            nn.Dropout(DROPOUT),
            nn.Linear(width_in, width, bias=False),
        )


class PlainBag(nn.Module):
    """Add up the vectors of the features that are there: a linear map of 0 and 1, times 1/√count.

    [N, G] → [N, D].
    """

    def __init__(self, features: int, width: int):
        super().__init__()
        self.vectors = nn.Embedding(features, width)
        nn.init.normal_(self.vectors.weight, std=0.02)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, features: Tensor, there: Tensor) -> Tensor:
        """Return the sum of the features, int64 [N, G], that are there, bool [N, G]."""
        weights = self.dropout(there.float())  # [N, G]
        scale = there.sum(1, keepdim=True).clamp(min=1) ** -0.5
        return torch.einsum("ng,ngd->nd", weights * scale, self.vectors(features))
