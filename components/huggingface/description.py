"""What rebuilds an encoder that is a model of Transformers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from components.common.errors import InputError
from components.huggingface import models
from components.huggingface.locate import locate
from components.huggingface.sentences import Sentences, sentences_of
from components.modalities.registry import Modality
from components.stage.section import Section

NOT_SAID = 10**9  # tokens; where nothing limits a text


class Description(Section):
    """Everything but the weights that rebuilds a model as the encoder of a modality.

    Attributes:
        config: its config.json.
        inputs: its preprocessor_config.json; of a text model `max_tokens`, the longest text.
        pooling: own: what the model itself gives as pooled, or where it gives nothing the first
            token of an image and the mean of a sound; or the first, mean or max of its tokens.
        pooler: whether its file has weights for what pools.
        normalised: whether the pooled features are brought to length 1.
    """

    config: dict[str, Any]
    inputs: dict[str, Any]
    pooling: Literal["own", "first", "mean", "max"]
    pooler: bool
    normalised: bool

    def build(self, modality: Modality) -> nn.Module:
        """The model, with fresh weights."""
        model = models.tower(self.config, modality)
        if hasattr(model, "pooler") and not (self.pooler and self.pooling == "own"):
            model.pooler = None  # as these models are without one
        return model


def describe(name: str, folder: Path, modality: Modality) -> Description:
    """What the model is that a setting names, and how its inputs are made.

    Args:
        name: the setting `features.<modality>.encoder`.
        folder: of the modality in pretrained/.
        modality: that it is to encode.

    Raises:
        InputError: there is no such model, or it cannot be used.
    """
    place = locate(name, folder, modality)
    with models.explained(place, modality):
        config = models.read(place / "config.json")
        with torch.device("meta"):
            model = models.tower(config, modality)
        sentences = sentences_of(place) if modality == "text" else None
        return Description(
            config={k: v for k, v in config.items() if k not in ("_name_or_path", "auto_map")},
            inputs=_inputs(place, model, sentences, modality),
            pooling=_pooling(config, sentences, modality),
            pooler=models.has_pooler(place),
            normalised=sentences is not None and sentences.normalised,
        )


def _inputs(
    place: Path, model: nn.Module, sentences: Sentences | None, modality: Modality
) -> dict[str, Any]:
    match modality:
        case "image":
            processor = models.library().AutoImageProcessor
        case "audio":
            processor = models.library().AutoFeatureExtractor
        case "text":
            return {"max_tokens": _longest(models.tokenizer_of(place), model, sentences)}
    return json.loads(processor.from_pretrained(place, **models.LOCAL).to_json_string())


def _longest(tokenizer: Any, model: nn.Module, sentences: Sentences | None) -> int:
    if len(tokenizer) > model.config.vocab_size:
        raise InputError(
            f"its tokenizer has {len(tokenizer)} tokens, but the model {model.config.vocab_size}"
        )
    positions = getattr(model.config, "max_position_embeddings", None) or NOT_SAID
    said = sentences.max_tokens if sentences else None
    return min(tokenizer.model_max_length, positions, said or NOT_SAID)


def _pooling(config: Mapping[str, Any], sentences: Sentences | None, modality: Modality) -> str:
    """A text model without settings of its own is pooled as sentence-transformers does it."""
    if sentences:
        return sentences.pooling
    is_tower = "text_config" in config or config["model_type"].endswith("_text_model")
    return "mean" if modality == "text" and not is_tower else "own"
