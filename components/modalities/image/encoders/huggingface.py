"""Image models of Transformers: CLIP's tower, ViT, DINOv2 and others."""

from typing import Any

import torch
from torch import Tensor

from components.huggingface.description import Description
from components.huggingface.models import EncoderInterface, processor_config
from components.layers.features import Encoder, Features

INTERFACE = EncoderInterface(
    input_names=("pixel_values",),
    tower="vision_model",
    describe_inputs=lambda place, model: processor_config(place, "AutoImageProcessor"),
)


class HuggingFaceImageEncoder(Encoder):
    """A model of Transformers over pixels, normalised as for its training."""

    max_batch_size = 32

    mean: Tensor
    deviation: Tensor

    def __init__(self, description: Description):
        super().__init__()
        self.model = description.build(INTERFACE)
        config: Any = self.model.config
        self.width = getattr(config, "hidden_size", None) or config.hidden_sizes[-1]
        self.scale, mean, deviation = _normalisation(description.inputs)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Features:
        """uint8 [N, 3, H, W] → features with a token per place, and those that the model adds."""
        x = (pixels.float() * self.scale - self.mean) / self.deviation
        output = self.model(pixel_values=x)
        tokens = output.last_hidden_state  # [N, T, D], or of convolutions [N, D, H, W]
        tokens = tokens.flatten(2).transpose(1, 2) if tokens.ndim == 4 else tokens
        pooled = output.pooler_output
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Features(tokens, mask, tokens[:, 0] if pooled is None else pooled.flatten(1))


def _normalisation(inputs: dict) -> tuple[float, list[float], list[float]]:
    """Return factor, means and deviations from a preprocessor_config.json."""
    scale = inputs["rescale_factor"] if inputs["do_rescale"] else 1.0
    if not inputs["do_normalize"]:
        return scale, [0.0] * 3, [1.0] * 3
    return scale, inputs["image_mean"], inputs["image_std"]
