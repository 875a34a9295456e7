"""What rebuilds an encoder that is a model of Transformers."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from components.huggingface import models
from components.huggingface.locate import EncoderNames, locate
from components.huggingface.models import EncoderInterface, PoolingKind
from components.stage.settings import Section


class Description(Section):
    """Everything but the weights that rebuilds a model as the encoder of a modality."""

    config: dict[str, Any]  # its config.json
    inputs: dict[str, Any]  # its preprocessor_config.json; of a text model `max_tokens`
    pooling: PoolingKind  # see `Pooling`
    pooler: bool  # whether its file has weights of a pooler
    normalised: bool  # see `Pooling`

    def build(self, interface: EncoderInterface) -> nn.Module:
        """Return the model with fresh weights."""
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
        with torch.device("meta"):
            model = models.tower(config, interface)
        pooling = interface.pooling(place, config)
        return Description(
            config={k: v for k, v in config.items() if k not in ("_name_or_path", "auto_map")},
            inputs=interface.describe_inputs(place, model),
            pooling=pooling.kind,
            pooler=models.has_pooler(place),
            normalised=pooling.normalised,
        )
