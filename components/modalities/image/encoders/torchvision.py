"""Classification models of torchvision, without their classifiers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from components.common.errors import InputError
from components.layers.features import Encoder, Features
from components.modalities.image.modality import ImageEncoderSettings, ImageSettings

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for all of them
# Steps after the features in one or another of them.
AFTER = {"avgpool", "adaptive_avg_pool2d", "dropout", "classifier", "fc", "head", "heads"}


class TorchvisionEncoder(Encoder):
    """Any classification model of torchvision, with a token per place of its last feature map.

    The pooled features are the mean over the places, or the class token of a Vision Transformer,
    which is what nearly all classifiers read.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, inputs: ImageSettings, options: ImageEncoderSettings):
        super().__init__()
        try:
            model = _model(options.encoder, inputs.size)
            last, self.width = _last_features(model, inputs.size)
        except (AssertionError, RuntimeError, ValueError) as error:  # too small, or not a multiple
            raise InputError(
                f"features.image.encoder: {options.encoder} cannot take images of preprocess.image."
                f"size {inputs.size}: {error}. Most take 64 or more, all but a few 224"
            ) from error
        self.backbone = create_feature_extractor(model, {last: "features"})
        self.dropout = nn.Dropout(options.dropout)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Features:
        """uint8 [N, 3, H, W] → features with a token per place."""
        x = (pixels.float() / 255 - self.mean) / self.deviation
        x = self.backbone(x)["features"]  # [N, D, h, w], or of a Vision Transformer [N, T, D]
        is_map = x.ndim == 4
        tokens = self.dropout(x.flatten(2).transpose(1, 2) if is_map else x)  # [N, T, D]
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return Features(tokens, mask, tokens.mean(1) if is_map else tokens[:, 0])

    def renamed(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights of torchvision's whole model under the names of this module."""
        own = self.state_dict()
        if any(name in own for name in weights):
            return dict(weights)
        found = {f"backbone.{name}": value for name, value in weights.items()}
        return {name: value for name, value in found.items() if name in own} or dict(weights)


def _model(name: str, size: int) -> nn.Module:
    """Return a classification model with fresh weights for images of `size` pixels."""
    options: dict[str, Any] = {}
    if name.startswith("vit_"):
        options["image_size"] = size
    elif name.startswith("maxvit_"):
        options["input_size"] = (size, size)
    elif name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    return models.get_model(name, weights=None, **options).eval()


@torch.no_grad()
def _last_features(model: nn.Module, size: int) -> tuple[str, int]:
    """Return the last step of a model that still has places, and its width."""
    _, steps = get_graph_node_names(model)
    traced = create_feature_extractor(model, train_return_nodes=steps[:1], eval_return_nodes=steps)
    results = traced(torch.zeros(1, 3, size, size))
    shapes = {
        step: value.shape
        for step, value in results.items()
        if isinstance(value, Tensor) and value.ndim >= 3 and step.split(".")[0] not in AFTER
    }
    step, shape = list(shapes.items())[-1]  # [1, D, h, w], or [1, T, D]
    return step, shape[1] if len(shape) == 4 else shape[2]
