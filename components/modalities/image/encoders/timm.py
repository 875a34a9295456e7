"""Image models of timm, without their classifiers."""

from typing import Any

import torch
from torch import Tensor

from components.huggingface.description import Description
from components.layers.features import Encoder, Features
from components.modalities.image.encoders.huggingface import INTERFACE


class TimmEncoder(Encoder):
    """A model of timm over pixels, normalised as for its training.

    The pooled features are what its classifier reads; of a model whose classifier widens them
    first, as MobileNetV3's, the mean over the tokens.
    """

    max_batch_size = 32

    mean: Tensor
    deviation: Tensor

    def __init__(self, description: Description):
        super().__init__()
        self.model: Any = description.build(INTERFACE)
        self.width = self.model.num_features
        self.pooling = description.pooling
        for name, key in (("mean", "mean"), ("deviation", "std")):
            values = torch.tensor(description.inputs[key])[:, None, None]
            self.register_buffer(name, values, persistent=False)

    def forward(self, pixels: Tensor) -> Features:
        """uint8 [N, 3, H, W] → features with a token per place, and those that the model adds."""
        x = (pixels.float() / 255 - self.mean) / self.deviation
        x = self.model.forward_features(x)  # [N, D, h, w], [N, h, w, D] or [N, T, D]
        channels_first = x.ndim == 4 and x.shape[1] == self.width
        tokens = x.flatten(2).transpose(1, 2) if channels_first else x.flatten(1, -2)  # [N, T, D]
        own = self.pooling == "own"
        pooled = self.model.forward_head(x, pre_logits=True) if own else tokens.mean(1)
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Features(tokens, mask, pooled)
