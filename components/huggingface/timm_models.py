"""The library timm as this project uses it: image models without their classifiers, no calls.

It is imported when one of its models is named, not before: that takes seconds.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from components.common.errors import InputError
from components.huggingface.locate import INSTALL, not_in_timm
from components.huggingface.models import PoolingKind, tensor_files

WEIGHTS = "model.safetensors"  # the file that timm reads first
LABELS = ("label_names", "label_descriptions")  # of a classifier, in a config.json
INPUT = "pixel_values"  # what models of Transformers call images
CHANNELS = 3


def library() -> ModuleType:
    """Return timm, without its reports; InputError if it is not installed."""
    try:
        import timm
    except ImportError as error:
        raise InputError(
            f"an encoder is a model of timm, which cannot be imported: {error}. Install it: "
            f"{INSTALL}"
        ) from error
    logging.getLogger("timm").setLevel(logging.WARNING)
    return timm


def is_timm(config: Mapping[str, Any]) -> bool:
    """Return whether a config.json is one of timm: it has an architecture but no model_type."""
    return "architecture" in config and "model_type" not in config


def check_folder(place: Path, config: Mapping[str, Any]) -> None:
    """Raise InputError unless a folder has weights as safetensors, of a model that timm knows."""
    name, timm = config["architecture"], library()
    if not timm.is_model(name):
        raise InputError(f"its config.json: {not_in_timm(timm, name)}")
    if "pretrained_cfg" not in config:
        raise InputError("its config.json has no pretrained_cfg. Take a folder that timm saved")
    tensor_files(place, "timm.models.save_for_hf(model, folder, safe_serialization=True)")
    if not (place / WEIGHTS).is_file():
        raise InputError(f"it has no {WEIGHTS}, where timm saves weights. Rename its file")
    if (found := inputs(config)["input_size"][0]) != CHANNELS:
        raise InputError(f"it reads images of {found} channels, expected {CHANNELS}")


def build(config: Mapping[str, Any]) -> nn.Module:
    """Return the model of a config.json without its classifier, with fresh weights."""
    return library().create_model(
        config["architecture"],
        pretrained=False,
        pretrained_cfg=dict(config["pretrained_cfg"]),
        **{**config.get("model_args", {}), "num_classes": 0},
    )


def inputs(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return how images become inputs: size, crop, interpolation, mean and deviation (`std`)."""
    library()
    from timm.data.config import resolve_data_config

    return resolve_data_config(pretrained_cfg=config["pretrained_cfg"])


def transform(inputs: Mapping[str, Any]) -> Callable[[Any], Tensor]:
    """Return what makes uint8 [3, H, W] of an image of Pillow: resized and cropped."""
    library()
    from timm.data.transforms_factory import create_transform

    transform: Any = create_transform(**inputs, normalize=False)
    return transform


@torch.no_grad()
def pooling(config: Mapping[str, Any]) -> PoolingKind:
    """Return `own` if what the classifier reads is as wide as a token, else `mean`.

    Raises:
        InputError: the model gives no features with places.
    """
    with torch.device("meta"):
        model: Any = build(config).eval()
        found = model.forward_features(torch.zeros(1, *inputs(config)["input_size"]))
        width = model.num_features
        if not isinstance(found, Tensor) or found.ndim not in (3, 4) or width not in found.shape:
            shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(
                f"its features are {shape}, expected [1, tokens, {width}] or a map that wide"
            )
        return "own" if model.forward_head(found, pre_logits=True).shape == (1, width) else "mean"


def weights(place: Path) -> dict[str, Tensor]:
    """Return the weights in a folder under the names of the model without its classifier.

    Raises:
        Exception: a tensor is missing or has another shape; timm does not say which exception.
    """
    whole = library().create_model(f"local-dir:{place}", pretrained=True)
    return whole.state_dict()
