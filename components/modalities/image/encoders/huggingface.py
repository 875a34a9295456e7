"""Image models of Transformers: CLIP's tower, ViT, DINOv2 and others."""

import torch
from torch import Tensor, nn

from components.huggingface.description import Description
from components.layers.features import Features


class HuggingFaceImageEncoder(nn.Module):
    """A model of Transformers over pixels, which are scaled as it was trained."""

    at_once = 32  # assets that are encoded together: these models are large

    def __init__(self, description: Description):
        super().__init__()
        self.model = description.build("image")
        config = self.model.config
        self.width = getattr(config, "hidden_size", None) or config.hidden_sizes[-1]
        scale, mean, deviation = _scaling(description.inputs)
        self.scale = scale
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Features:
        """uint8 [N, 3, H, W] → features with a token for each place, and those that it adds."""
        x = (pixels.float() * self.scale - self.mean) / self.deviation
        given = self.model(pixel_values=x)
        tokens = given.last_hidden_state  # [N, T, D], or of convolutions [N, D, H, W]
        tokens = tokens.flatten(2).transpose(1, 2) if tokens.ndim == 4 else tokens
        pooled = given.pooler_output
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Features(tokens, mask, tokens[:, 0] if pooled is None else pooled.flatten(1))


def _scaling(inputs: dict) -> tuple[float, list[float], list[float]]:
    """Factor, means and deviations, from a preprocessor_config.json."""
    scale = inputs["rescale_factor"] if inputs["do_rescale"] else 1.0
    if not inputs["do_normalize"]:
        return scale, [0.0] * 3, [1.0] * 3
    return scale, inputs["image_mean"], inputs["image_std"]
