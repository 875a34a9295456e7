"""What rebuilds an encoder that is a model of Transformers or timm."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from components.common.errors import InputError
from components.huggingface import models, timm_models
from components.huggingface.locate import EncoderNames, locate
from components.huggingface.models import EncoderInterface, PoolingKind
from components.stage.settings import Section

LEFT_OUT = ("_name_or_path", "auto_map", *timm_models.LABELS)  # of a config.json


class Description(Section):
    """Everything but the weights that rebuilds a model as the encoder of a modality."""

    config: dict[str, Any]  # its config.json
    inputs: dict[str, Any]  # its preprocessor_config.json, or timm's; of a text model `max_tokens`
    pooling: PoolingKind  # see `Pooling`
    pooler: bool  # whether its file has weights of a pooler
    normalised: bool  # see `Pooling`

    @property
    def is_timm(self) -> bool:
        """Whether the model is one of timm; else it is one of Transformers."""
        return timm_models.is_timm(self.config)

    def build(self, interface: EncoderInterface) -> nn.Module:
        """Return the model with fresh weights."""
        if self.is_timm:
            return timm_models.build(self.config)
        model = models.tower(self.config, interface)
        if hasattr(model, "pooler") and not (self.pooler and self.pooling == "own"):
            # As models of this kind are without one; nn.Module is not declared to take None.
            model.pooler = None  # pyright: ignore[reportArgumentType]
        return model


def describe(
    name: str, folder: Path, known: EncoderNames, interface: EncoderInterface
) -> Description:
    """Describe the model that a setting names; InputError if there is none or it cannot be used."""
    place = locate(name, folder, known)
    with models.explained(place, known):
        config = models.read_json_file(place / "config.json")
        kept = {key: value for key, value in config.items() if key not in LEFT_OUT}
        if timm_models.is_timm(config):
            return _of_timm(place, kept, interface)
        with torch.device("meta"):
            model = models.tower(config, interface)
        pooling = interface.pooling(place, config)
        return Description(
            config=kept,
            inputs=interface.describe_inputs(place, model),
            pooling=pooling.kind,
            pooler=models.has_pooler(place),
            normalised=pooling.normalised,
        )


def _of_timm(place: Path, config: dict[str, Any], interface: EncoderInterface) -> Description:
    if timm_models.INPUT not in interface.input_names:
        raise InputError(
            f"its {config['architecture']} reads {timm_models.INPUT}, expected "
            f"{' or '.join(interface.input_names)}: it encodes another modality"
        )
    timm_models.check_folder(place, config)
    return Description(
        config=config,
        inputs=timm_models.inputs(config),
        pooling=timm_models.pooling(config),
        pooler=False,
        normalised=False,
    )


def published_weights(place: Path, interface: EncoderInterface) -> Mapping[str, Tensor]:
    """Return the weights of a model in a folder by name, and maybe some that its encoder lacks."""
    if timm_models.is_timm(models.read_json_file(place / "config.json")):
        return timm_models.weights(place)
    return models.weights(place, interface)
