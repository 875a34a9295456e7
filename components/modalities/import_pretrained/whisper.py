"""Whisper's encoder, from a model file of CTranslate2 to a folder of Transformers."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.common.errors import InputError
from components.huggingface.models import library
from components.modalities.import_pretrained.ctranslate2_file import read_model_file

SPECIFICATION = "WhisperSpec"
ENCODER, HEADS = "encoder/", "num_heads"
RENAMED = (  # patterns in names of CTranslate2 → names of Transformers
    (r"layer_(\d+)", r"layers.\1"),
    (r"self_attention/layer_norm", "self_attn_layer_norm"),
    (r"self_attention/linear_1", "self_attn.out_proj"),
    (r"self_attention/linear_0", "self_attn.{}_proj"),
    (r"ffn/layer_norm", "final_layer_norm"),
    (r"ffn/linear_0", "fc1"),
    (r"ffn/linear_1", "fc2"),
    (r"position_encodings/encodings", "embed_positions.weight"),
    (r"gamma$", "weight"),
    (r"beta$", "bias"),
    (r"/", "."),
)
QUERY_KEY_VALUE = "qkv"  # one after the other in CTranslate2's tensors
# The encoder alone is written: a decoder as small as the library builds.
NO_DECODER = {
    **{"decoder_layers": 0, "vocab_size": 1, "max_target_positions": 1},
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 0),
}


def convert(source: Path, folder: Path) -> None:
    """Write the encoder of a file as a folder of Transformers; InputError if it has none."""
    found = read_model_file(source)
    if found.specification != SPECIFICATION:
        raise InputError(f"{source} holds a {found.specification}, expected a {SPECIFICATION}")
    inside = {
        name.removeprefix(ENCODER): value
        for name, value in found.variables.items()
        if name.startswith(ENCODER)
    }
    try:
        model = library().WhisperModel(library().WhisperConfig(**sizes(inside)))
        model.encoder.load_state_dict(encoder_weights(inside))
    except (KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"{source} holds no encoder of Whisper: {error}") from error
    model.half().save_pretrained(folder)  # as it is in the file
    bands = model.config.num_mel_bins
    library().WhisperFeatureExtractor(feature_size=bands).save_pretrained(folder)


def sizes(variables: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the settings of a configuration of Transformers, from variables of an encoder."""
    width, bands, _ = variables["conv1/weight"].shape
    layers = {match[0] for name in variables if (match := re.match(r"layer_\d+", name))}
    return {
        "d_model": width,
        "num_mel_bins": bands,
        "encoder_layers": len(layers),
        "encoder_attention_heads": int(variables[HEADS]),
        "encoder_ffn_dim": len(variables["layer_0/ffn/linear_0/bias"]),
        "max_source_positions": len(variables["position_encodings/encodings"]),
        **NO_DECODER,
    }


def encoder_weights(variables: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Return variables of an encoder under the names of Transformers' `WhisperEncoder`.

    Raises:
        ValueError: the projection to keys has a bias, which Whisper's has not.
    """
    weights: dict[str, Tensor] = {}
    for name, value in variables.items():
        if name == HEADS:
            continue
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        parts = torch.from_numpy(value).chunk(3) if "{}" in name else [torch.from_numpy(value)]
        for letter, part in zip(QUERY_KEY_VALUE, parts, strict=False):
            weights[name.format(letter)] = part
    for name in [name for name in weights if name.endswith("k_proj.bias")]:
        if weights.pop(name).any():
            raise ValueError(f"{name} is not 0")
    return weights
