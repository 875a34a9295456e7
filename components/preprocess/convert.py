"""Converts media shards into tensor shards with the processor of a modality."""

import json
import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from components.common.files import replacing
from components.common.source_code import code_hash
from components.common.tensor_files import readable_tensors
from components.data.shards import Shard, read_index, read_media, transform
from components.modalities.modality import CuttingProcessor, Processor, RowProcessor

log = logging.getLogger(__name__)

CUT = "cut"  # metadata of a tensor shard: how many of its files were cut, if any


def convert_shards(
    media: Path, tensors: Path, processor: Processor, state: object, workers: int
) -> None:
    """Convert every shard of a media shard set that has no tensor shard yet.

    Args:
        state: of the processor; names the shards, with its code.
        workers: processes; the bytes do not depend on it.
    """
    cache_key = [state, code_hash(__name__, type(processor).__module__)]
    convert = partial(_convert, media, processor)
    computed = transform(media, tensors, convert, cache_key, workers, tensors.name)
    log.info("%s: %d shards computed", tensors.name, computed)


def _convert(media: Path, processor: Processor, shard: Shard, path: Path) -> None:
    contents = read_media(media, shard)
    with replacing(path) as temporary:
        if isinstance(processor, RowProcessor):
            shape = (len(contents), *processor.shape)
            save_rows(temporary, processor.tensor, shape, processor.rows(contents))
        else:
            tensors = {name: np.asarray(value) for name, value in processor(contents).items()}
            cut = processor.cut(contents) if isinstance(processor, CuttingProcessor) else 0
            save_file(tensors, temporary, {CUT: str(cut)} if cut else None)


def count_cut(tensors: Path) -> tuple[int, int]:
    """Return how many files of a tensor shard set were cut, and of how many."""
    cut, count = 0, 0
    for shard in read_index(tensors):
        path = tensors / f"{shard.name}.safetensors"
        with readable_tensors(path), safe_open(path, "numpy") as file:
            cut += int((file.metadata() or {}).get(CUT, 0))
        count += len(shard.asset_ids)
    return cut, count


def save_rows(path: Path, name: str, shape: tuple[int, ...], rows: Iterable[np.ndarray]) -> None:
    """Write one uint8 tensor with the bytes that `safetensors.numpy.save_file` would write.

    `rows` are `shape[0]` arrays of the shape `shape[1:]`, one in memory at a time. Reusing a small
    buffer is faster: a large array per file takes longer to allocate than to fill.
    """
    size = int(np.prod(shape))
    tensor = {"dtype": "U8", "shape": shape, "data_offsets": (0, size)}
    header = json.dumps({name: tensor}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # aligns the numbers
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for row in rows:
            file.write(np.ascontiguousarray(row).data)
