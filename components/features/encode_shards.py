"""Encodes tensor shards into feature shards."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from components.common.files import replacing
from components.common.hashing import file_hash
from components.common.source_code import code_hash
from components.common.tensor_files import readable_tensors
from components.data.shards import Shard, transform
from components.layers.features import Encoder, encode

log = logging.getLogger(__name__)


def encode_shards(
    encoder: Encoder, weights: Path, options: Sequence, tensors: Path, features: Path
) -> None:
    """Encode every shard of a tensor shard set that has no feature shard yet.

    Args:
        weights: file of the encoder's weights.
        options: settings that decide the result and that the weights do not show, such as heads.
    """

    def convert(shard: Shard, path: Path) -> None:
        source = tensors / f"{shard.name}.safetensors"
        with readable_tensors(source):
            inputs = load_file(source)
        found = encode(encoder, inputs, torch.arange(len(shard.asset_ids)))
        with replacing(path) as temporary:
            save_file(found.to_tensors(), temporary)

    encoder.eval()
    cache_key = [*options, file_hash(weights), code_hash(__name__, type(encoder).__module__)]
    computed = transform(tensors, features, convert, cache_key, 1, features.name)
    log.info("%s: %d shards computed", features.name, computed)
