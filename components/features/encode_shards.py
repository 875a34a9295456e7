"""Encodes tensor shards into feature shards."""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from safetensors.torch import save_file

from components.common.files import replacing
from components.common.hashing import file_hash
from components.common.source_code import code_hash
from components.common.worker_processes import Jobs
from components.data.assets import load_tensors
from components.data.shards import Shard, transform
from components.layers.features import Encoder, encode

AT_ONCE = 2  # shards, each in a thread: torch computes without Python's lock

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
        inputs = load_tensors(tensors / f"{shard.name}.safetensors")
        found = encode(encoder, inputs, torch.arange(len(shard.asset_ids)))
        with replacing(path) as temporary:
            save_file(found.to_tensors(), temporary)

    encoder.eval()
    cache_key = [*options, file_hash(weights), code_hash(__name__, type(encoder).__module__)]
    given = convert, cache_key, AT_ONCE, features.name, run_in_threads
    computed = transform(tensors, features, *given)
    log.info("%s: %d shards computed", features.name, computed)


def run_in_threads(function: Callable[..., None], jobs: Jobs, workers: int) -> Iterator[None]:
    """Do the jobs, each the tuple of a call's arguments, in threads of this process.

    Copies of it could not use several threads of torch each, since it has used them itself.
    """
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(function, *zip(*jobs, strict=True))
