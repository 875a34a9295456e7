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
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import numpy as np
import simplejpeg
import torch
import yaml
from cykooz_resizer import ImageData, PixelType, Resizer
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional as F

from components.common.hashing import content_id
from components.data.shards import Asset, MediaWriter, read_index
from components.modalities.image.decoding import MIDDLE, ImageProcessor
from components.modalities.settings import ImageSettings

WIDTH, HEIGHT, SIZE = 640, 480, 224
DISTINCT = 64
IMAGES = 16_384
QUALITY = 85
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


def told_apart(content: bytes, number: int) -> bytes:
    """A JPEG file with a number as its comment."""
    return content[:2] + b"\xff\xfe\0\x06" + number.to_bytes(4, "big") + content[2:]


def files(count: int) -> Iterator[bytes]:
    """JPEG files, no two the same."""
    photographs = [photograph(seed) for seed in range(DISTINCT)]
    for number in range(count):
        yield told_apart(photographs[number % DISTINCT], number)


def resized(image: Image.Image) -> np.ndarray:
    """The square in the middle, resized: [H, W, 3]."""
    edge = (image.width - image.height) / 2
    box = (edge, 0, edge + image.height, image.height)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box))


def with_pillow(content: bytes) -> np.ndarray:
    """Pillow, decoded at a half: [H, W, 3]."""
    with Image.open(io.BytesIO(content)) as image:
        image.draft(None, (SIZE, SIZE))
        return resized(image)


def with_whole_pillow(content: bytes) -> np.ndarray:
    """Pillow, decoded whole: [H, W, 3]."""
    with Image.open(io.BytesIO(content)) as image:
        return resized(image)


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
    return cv2.cvtColor(cv2.resize(middle(pixels), (SIZE, SIZE)), cv2.COLOR_BGR2RGB)


def with_simplejpeg(content: bytes) -> np.ndarray:
    """simplejpeg, decoded at a half, and OpenCV's resize: [H, W, 3]."""
    import cv2

    return cv2.resize(middle(half(content)), (SIZE, SIZE))


def with_cykooz(content: bytes) -> np.ndarray:
    """The stage's two libraries and nothing around them, decoded at a half: [H, W, 3]."""
    pixels = half(content)
    source = ImageData(pixels.shape[1], pixels.shape[0], PixelType.U8x3, pixels.tobytes())
    target = ImageData(SIZE, SIZE, PixelType.U8x3)
    Resizer().resize(source, target, MIDDLE)
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(SIZE, SIZE, 3)


def half(content: bytes) -> np.ndarray:
    """Decoded by simplejpeg, no smaller than the result: [h, w, 3]."""
    return simplejpeg.decode_jpeg(content, min_height=SIZE, min_width=SIZE)


def middle(pixels: np.ndarray) -> np.ndarray:
    """The square in the middle."""
    edge = (pixels.shape[1] - pixels.shape[0]) // 2
    return pixels[:, edge : edge + pixels.shape[0]]


@cache
def ways() -> dict[str, Way]:
    """Every library that is there."""
    torch.set_num_threads(1)
    found = {
        "Pillow": with_pillow,
        "Pillow, whole": with_whole_pillow,
        "torchvision, whole": with_torchvision,
        "simplejpeg + cykooz-resizer": with_cykooz,
    }
    try:
        import cv2
    except ImportError:
        return found
    cv2.setNumThreads(1)
    return found | {"OpenCV": with_opencv, "simplejpeg + OpenCV": with_simplejpeg}


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


class Usual:
    """What is given to `datasets.map` as its guide has it: an image, decoded by `datasets`."""

    options = MappingProxyType({})

    def __call__(self, example: dict) -> dict:
        return {"pixels": resized(example["image"])}


class Batched:
    """What makes `datasets.map` fastest: the stage's own processor, on batches of files."""

    options = MappingProxyType({"batched": True, "batch_size": 256, "writer_batch_size": 256})

    def __init__(self):
        self.processor = ImageProcessor(ImageSettings(size=SIZE))

    def __call__(self, batch: dict) -> dict:
        return self.processor([file["bytes"] for file in batch["image"]])


GUIDE = "as its guide has it"
MAPS = {GUIDE: Usual, "batches through the same processor": Batched}


def map_rate(kind: str, folder: Path, workers: int) -> float:
    """Images a second of `datasets.map` from Parquet files to its own on disk."""
    import datasets

    datasets.disable_progress_bars()
    function, cache_dir = MAPS[kind](), folder.parent / "cache"
    paths = [str(folder / f"{shard.name}.parquet") for shard in read_index(folder)]
    source = datasets.Dataset.from_parquet(paths, columns=["content"], cache_dir=str(cache_dir))
    source = source.rename_column("content", "image").cast_column(
        "image", datasets.Image(decode=not function.options)
    )
    shape = (3, SIZE, SIZE) if function.options else (SIZE, SIZE, 3)
    began = time.perf_counter()
    source.map(
        function,
        num_proc=workers,
        remove_columns=["image"],
        features=datasets.Features({"pixels": datasets.Array3D(shape, "uint8")}),
        load_from_cache_file=False,
        **function.options,
    )
    seconds = time.perf_counter() - began
    shutil.rmtree(cache_dir)
    return IMAGES / seconds


def measure(project: Path) -> dict:
    """Medians of all rates in images a second, and of the ratios within a turn.

    Returns:
        `stage`; `loops` by library; `by_core`, the stage against each of them times the cores;
        `maps` by kind and `by_map`, the stage against each, empty without `datasets`.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    cores = os.cpu_count()
    settings = yaml.safe_load((project / "params.yaml").read_text())
    settings["workers"] = cores
    settings["preprocess"]["image"]["size"] = SIZE
    kinds = MAPS if find_spec("datasets") else {}
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "params.yaml").write_text(yaml.safe_dump(settings))
        writer = MediaWriter(folder / "media")
        for content in files(IMAGES):
            writer.add(Asset(content_id(content), content))
        writer.close()
        contents = list(files(DISTINCT))
        turns = []
        for _ in range(TURNS):
            loops = {library: loop_rate(way, contents) for library, way in ways().items()}
            stage = stage_rate(folder / "media", folder / "params.yaml")
            turns.append((stage, loops, {k: map_rate(k, folder / "media", cores) for k in kinds}))
    median = statistics.median
    return {
        "stage": median(stage for stage, _, _ in turns),
        "loops": {k: median(loops[k] for _, loops, _ in turns) for k in ways()},
        "by_core": {
            k: median(stage / (cores * loops[k]) for stage, loops, _ in turns) for k in ways()
        },
        "maps": {k: median(maps[k] for *_, maps in turns) for k in kinds},
        "by_map": {k: median(stage / maps[k] for stage, _, maps in turns) for k in kinds},
    }
