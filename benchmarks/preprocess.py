"""Images a second: the whole stage `preprocess_image` against bare decoding and `datasets.map`.

The images are JPEG files of 640×480 with the spectrum of photographs and about the size in bytes
that those of COCO have; they become 224×224. Bare decoding is each library's loop over files in
memory, in one process with one thread; the stage is its command, from start to exit, which reads
its media from disk and leaves tensors there. They take turns, and the ratios are taken within a
turn.
"""

import io
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import yaml
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional as F

from components.config.settings import ImageSettings
from components.model.processors.image import ImageProcessor
from components.store.hashing import content_id
from components.store.shards import Asset, MediaWriter, read_index

WIDTH, HEIGHT, SIZE = 640, 480, 224
DISTINCT = 64
IMAGES = 16_384
QUALITY = 85
BATCH = 256
SECONDS = 4.0  # of one library's loop in one turn
TURNS = 3
Way = Callable[[bytes], np.ndarray]


def photograph(seed: int) -> bytes:
    """A JPEG file of noise whose amplitude falls with the frequency, as in photographs (Field
    1987, Relations between the statistics of natural images)."""
    noise = np.random.default_rng(seed).normal(size=(4, HEIGHT, WIDTH))
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(WIDTH))
    frequency[0, 0] = 1
    channels = np.fft.ifft2(np.fft.fft2(noise[3] + 0.4 * noise[:3]) / frequency).real
    channels /= channels.std(axis=(1, 2), keepdims=True)
    pixels = np.clip(128 + 50 * channels, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def files(count: int) -> Iterator[bytes]:
    """JPEG files, no two the same: a comment tells apart those of the same photograph."""
    photographs = [photograph(seed) for seed in range(DISTINCT)]
    for number in range(count):
        content = photographs[number % DISTINCT]
        yield content[:2] + b"\xff\xfe\0\x06" + number.to_bytes(4, "big") + content[2:]


def with_pillow(content: bytes) -> np.ndarray:
    """Pillow, decoded at a half: [H, W, 3]."""
    with Image.open(io.BytesIO(content)) as image:
        image.draft(None, (SIZE, SIZE))
        edge = (image.width - image.height) / 2
        box = (edge, 0, edge + image.height, image.height)
        return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box))


def with_whole_pillow(content: bytes) -> np.ndarray:
    """Pillow, decoded whole: [H, W, 3]."""
    with Image.open(io.BytesIO(content)) as image:
        edge = (image.width - image.height) / 2
        box = (edge, 0, edge + image.height, image.height)
        return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box))


def with_torchvision(content: bytes) -> np.ndarray:
    """torchvision, decoded whole: [3, H, W]."""
    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    pixels = decode_jpeg(data, ImageReadMode.RGB)  # [3, h, w]
    square = F.center_crop(pixels, [HEIGHT, HEIGHT])
    return F.resize(square, [SIZE, SIZE], antialias=True).numpy()


def with_opencv(content: bytes) -> np.ndarray:
    """OpenCV, decoded at a half: [H, W, 3]."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
    edge = (pixels.shape[1] - pixels.shape[0]) // 2
    square = pixels[:, edge : edge + pixels.shape[0]]
    return cv2.cvtColor(cv2.resize(square, (SIZE, SIZE)), cv2.COLOR_BGR2RGB)


@cache
def ways() -> dict[str, Way]:
    """Every library that is there."""
    torch.set_num_threads(1)
    found = {
        "Pillow": with_pillow,
        "Pillow, whole": with_whole_pillow,
        "torchvision, whole": with_torchvision,
    }
    try:
        import cv2
    except ImportError:
        return found
    cv2.setNumThreads(1)
    return found | {"OpenCV": with_opencv}


def loop_rate(way: Way, contents: list[bytes]) -> float:
    """Images a second of one core."""
    way(contents[0])
    began = time.perf_counter()
    for count, content in enumerate(cycle(contents)):
        way(content)
        if (seconds := time.perf_counter() - began) > SECONDS:
            return (count + 1) / seconds


def stage_rate(media: Path, params: Path) -> float:
    """Images a second of the stage, from the start of its process to the end."""
    tensors = media.parent / "tensors"
    command = [sys.executable, "-m", "components.preprocess.image", "--params", str(params)]
    began = time.perf_counter()
    subprocess.run(
        [*command, "--media", str(media), "--tensors", str(tensors)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - began
    shutil.rmtree(tensors)
    return IMAGES / seconds


class Map:
    """The function that `datasets.map` is given: the processor of the stage, on a batch."""

    def __init__(self):
        self.processor = ImageProcessor(ImageSettings(size=SIZE))

    def __call__(self, batch: dict) -> dict:
        return self.processor(batch["content"])


def map_rate(folder: Path, workers: int) -> float | None:
    """Images a second of `datasets.map` over Parquet files; None if `datasets` is not there."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import datasets
    except ImportError:
        return None
    datasets.disable_progress_bars()
    source = datasets.Dataset.from_parquet(
        [str(folder / f"{shard.name}.parquet") for shard in read_index(folder)],
        columns=["content"],
        cache_dir=str(folder.parent / "cache"),
    )
    shape = datasets.Array3D((3, SIZE, SIZE), "uint8")
    began = time.perf_counter()
    source.map(
        Map(),
        batched=True,
        batch_size=BATCH,
        writer_batch_size=BATCH,
        num_proc=workers,
        remove_columns=["content"],
        features=datasets.Features({"pixels": shape}),
        load_from_cache_file=False,
    )
    seconds = time.perf_counter() - began
    shutil.rmtree(folder.parent / "cache")
    return IMAGES / seconds


def measure(project: Path) -> dict:
    """Medians of all rates in images a second, and of the ratios within a turn.

    Returns:
        `stage`; `map`, or None without `datasets`; `loops` by library; `by_core`, the stage
        against each library's loop times the cores; `by_map`, the stage against `map`, or None.
    """
    cores = os.cpu_count()
    settings = yaml.safe_load((project / "params.yaml").read_text())
    settings["workers"] = cores
    settings["preprocess"]["image"]["size"] = SIZE
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "params.yaml").write_text(yaml.safe_dump(settings))
        writer = MediaWriter(folder / "media")
        for content in files(IMAGES):
            writer.add(Asset(content_id(content), content))
        writer.close()
        contents = list(files(DISTINCT))
        loops, stages, maps = [], [], []
        for _ in range(TURNS):
            loops.append({library: loop_rate(way, contents) for library, way in ways().items()})
            stages.append(stage_rate(folder / "media", folder / "params.yaml"))
            maps.append(map_rate(folder / "media", cores))
    turns = list(zip(stages, loops, strict=True))
    median = statistics.median
    return {
        "stage": median(stages),
        "map": None if None in maps else median(maps),
        "loops": {library: median(loop[library] for loop in loops) for library in ways()},
        "by_core": {
            library: median(stage / (cores * loop[library]) for stage, loop in turns)
            for library in ways()
        },
        "by_map": None
        if None in maps
        else median(stage / other for stage, other in zip(stages, maps, strict=True)),
    }
