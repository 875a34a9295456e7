"""What the preprocessing stages share: a processor run over a media shard set."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from safetensors.numpy import save_file

from components.common.files import replacing
from components.common.source_code import code_hash
from components.data.shards import Shard, read_media, transform

log = logging.getLogger(__name__)


class Convert:
    """Writes the tensor shard of one media shard."""

    def __init__(self, media: Path, processor: Callable):
        self.media, self.processor = media, processor

    def __call__(self, shard: Shard, path: Path) -> None:
        tensors = self.processor(read_media(self.media, shard))
        with replacing(path) as temporary:
            save_file({name: np.asarray(tensor) for name, tensor in tensors.items()}, temporary)


def preprocess(
    media: Path,
    tensors: Path,
    processor: Callable[[list[bytes]], Mapping[str, ArrayLike]],
    recipe: list,
    workers: int,
    kind: type[Convert] = Convert,
) -> None:
    """Run `processor` over every shard of `media` that has no tensor shard yet.

    Args:
        media: a finished media shard set.
        tensors: the folder of the tensor shard set.
        processor: gives a shard's arrays or tensors, all with the assets as first dimension.
        recipe: the parameters of `processor`, besides its code.
        workers: processes; the bytes do not depend on it.
        kind: how a shard is written.
    """
    code = code_hash(__name__, type(processor).__module__)
    convert = kind(media, processor)
    computed = transform(media, tensors, convert, [recipe, code], workers, tensors.name)
    log.info("%s: %d shards computed", tensors.name, computed)
