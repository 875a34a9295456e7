"""Images per second: the whole stage `preprocess_image` against bare decoding and `datasets.map`.

The images are JPEG files of 640×480 with the spectrum of photographs and about the size in bytes
that those of COCO have; they become 224×224. Bare decoding is each library's loop over files in
memory, in one process with one thread; the stage is its command, from start to exit, which reads
its media from disk and leaves tensors there. They run alternately, and the ratios are taken within
a repetition.
"""

import io
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import simplejpeg
import torch
import yaml
from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional as F

from benchmarks.figures import REPORTED, Comparison, Figure
from benchmarks.stages import SETTINGS, make_pretrained, read_stages, run_commands
from components.common.hashing import content_id
from components.common.nested import merged
from components.data.shards import Asset, MediaWriter, read_index
from components.modalities.image.processing import ImageProcessor

IMAGES = 16_384  # that the stage converts
PHOTOGRAPHS = 64  # different ones; the other images differ in a comment
SECONDS = 4.0  # of one library's loop in one repetition
REPETITIONS = 3  # of everything
WIDTH, HEIGHT, SQUARE = 640, 480, 224
QUALITY = 85
MEDIA = Path("data/media/image")
GUIDE = "as its guide has it"

Decoder = Callable[[bytes], np.ndarray]


@cache
def photograph(seed: int) -> bytes:
    """Return a JPEG file of noise whose amplitude falls with the frequency, as in photographs.

    Field 1987, Relations between the statistics of natural images.
    """
    noise = np.random.default_rng(seed).normal(size=(4, HEIGHT, WIDTH))
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(WIDTH))
    frequency[0, 0] = 1
    channels = np.fft.ifft2(np.fft.fft2(noise[3] + 0.4 * noise[:3]) / frequency).real
    channels /= channels.std(axis=(1, 2), keepdims=True)
    pixels = np.clip(128 + 50 * channels, 0, 255).astype(np.uint8).transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def numbered_photograph(number: int) -> bytes:
    """Return one of the photographs with a number as its comment."""
    content = photograph(number % PHOTOGRAPHS)
    return content[:2] + b"\xff\xfe\0\x06" + number.to_bytes(4, "big") + content[2:]


def resized(image: Image.Image) -> np.ndarray:
    """Return the square in the middle, resized: [H, W, 3]."""
    edge = (image.width - image.height) / 2
    box = (edge, 0, edge + image.height, image.height)
    return np.asarray(image.resize((SQUARE, SQUARE), Image.Resampling.BILINEAR, box))


def with_pillow(content: bytes, at_half: bool = True) -> np.ndarray:
    """Decode with Pillow at a half or at full size: [H, W, 3]."""
    with Image.open(io.BytesIO(content)) as image:
        if at_half:
            image.draft(None, (SQUARE, SQUARE))
        return resized(image)


def with_torchvision(content: bytes) -> np.ndarray:
    """Decode with torchvision at full size: [3, H, W]."""
    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    pixels = decode_jpeg(data, ImageReadMode.RGB)  # [3, h, w]
    square = F.center_crop(pixels, [HEIGHT, HEIGHT])
    return F.resize(square, [SQUARE, SQUARE], antialias=True).numpy()


def with_opencv(content: bytes) -> np.ndarray:
    """Decode with OpenCV at a half: [H, W, 3]."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
    return cv2.cvtColor(cv2.resize(middle(pixels), (SQUARE, SQUARE)), cv2.COLOR_BGR2RGB)


def with_simplejpeg(content: bytes) -> np.ndarray:
    """Decode with simplejpeg at a half, resize with OpenCV: [H, W, 3]."""
    import cv2

    return cv2.resize(middle(half(content)), (SQUARE, SQUARE))


def with_cykooz(content: bytes) -> np.ndarray:
    """Decode at a half with the stage's two libraries and nothing around them: [H, W, 3]."""
    pixels = half(content)
    source = ImageData(pixels.shape[1], pixels.shape[0], PixelType.U8x3, pixels.tobytes())
    target = ImageData(SQUARE, SQUARE, PixelType.U8x3)
    Resizer().resize(source, target, resize_options())
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(SQUARE, SQUARE, 3)


@cache
def resize_options() -> ResizeOptions:
    """Return the stage's filter."""
    return ResizeOptions(ResizeAlg.convolution(FilterType.bilinear), fit_into_destination=True)


def half(content: bytes) -> np.ndarray:
    """Decode with simplejpeg, no smaller than the result: [h, w, 3]."""
    return simplejpeg.decode_jpeg(content, min_height=SQUARE, min_width=SQUARE)


def middle(pixels: np.ndarray) -> np.ndarray:
    """Return the square in the middle."""
    edge = (pixels.shape[1] - pixels.shape[0]) // 2
    return pixels[:, edge : edge + pixels.shape[0]]


DECODERS: dict[str, Decoder] = {
    "Pillow": with_pillow,
    "Pillow at full size": partial(with_pillow, at_half=False),
    "torchvision at full size": with_torchvision,
    "simplejpeg + cykooz-resizer": with_cykooz,
}
OPENCV_DECODERS: dict[str, Decoder] = {
    "OpenCV": with_opencv,
    "simplejpeg + OpenCV": with_simplejpeg,
}


def decoders() -> dict[str, Decoder]:
    """Return every decoder whose libraries are installed, each with one thread."""
    torch.set_num_threads(1)
    if not find_spec("cv2"):
        return DECODERS
    import cv2

    cv2.setNumThreads(1)
    return DECODERS | OPENCV_DECODERS


def loop_rate(decoder: Decoder) -> float:
    """Return images per second of one core."""
    contents = [numbered_photograph(number) for number in range(PHOTOGRAPHS)]
    decoder(contents[0])
    count, began, seconds = 0, time.perf_counter(), 0.0
    for content in cycle(contents):
        decoder(content)
        count, seconds = count + 1, time.perf_counter() - began
        if seconds > SECONDS:
            break
    return count / seconds


def stage_rate(folder: Path) -> float:
    """Return images per second of the stage, from the start of its process to the end."""
    stage = read_stages()["preprocess_image"]
    seconds = run_commands([stage], folder)[stage.name]
    shutil.rmtree(folder / "data/tensors")
    return IMAGES / seconds


def from_image(example: dict) -> dict:
    """Return pixels as the guide of `datasets` has it, from an image that `datasets` decoded."""
    return {"pixels": resized(example["image"])}


def from_files(batch: dict) -> dict:
    """Return pixels with what makes `datasets.map` fastest, the stage's own processor."""
    return ImageProcessor(SQUARE)(file["bytes"] for file in batch["image"])


MAPS: dict[str, tuple[Callable[[dict], dict], dict[str, Any]]] = {  # functions and options
    GUIDE: (from_image, {}),
    "batches through the same processor": (
        from_files,
        {"batched": True, "batch_size": 256, "writer_batch_size": 256},
    ),
}


def map_rate(kind: str, folder: Path) -> float:
    """Return images per second of `datasets.map` from Parquet files to its own on disk."""
    import datasets

    datasets.disable_progress_bars()
    (function, options), cache_folder, media = MAPS[kind], folder / "cache", folder / MEDIA
    paths = [str(media / f"{shard.name}.parquet") for shard in read_index(media)]
    source = datasets.Dataset.from_parquet(paths, columns=["content"], cache_dir=str(cache_folder))
    source = source.rename_column("content", "image").cast_column(
        "image", datasets.Image(decode=not options)
    )
    shape = (3, SQUARE, SQUARE) if options else (SQUARE, SQUARE, 3)
    began = time.perf_counter()
    source.map(
        function,
        num_proc=os.cpu_count(),
        remove_columns=["image"],
        features=datasets.Features({"pixels": datasets.Array3D(shape, "uint8")}),
        load_from_cache_file=False,
        **options,
    )
    seconds = time.perf_counter() - began
    shutil.rmtree(cache_folder)
    return IMAGES / seconds


def write_input(folder: Path, project: Path) -> None:
    """Write what the stage reads: settings and media."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    changes = {"workers": os.cpu_count(), "preprocess": {"image": {"size": SQUARE}}}
    (folder / SETTINGS).parent.mkdir(parents=True)
    (folder / SETTINGS).write_text(yaml.safe_dump(merged(params, changes)))
    make_pretrained(folder)
    writer = MediaWriter(folder / MEDIA)
    for number in range(IMAGES):
        content = numbered_photograph(number)
        writer.add(Asset(content_id(content), content))
    writer.close()


def measure(project: Path) -> tuple[dict[str, Comparison], dict[str, Comparison]]:
    """Compare images per second of the stage with each loop, and with each map.

    The stage's are per core of the machine in the first; the second is empty if `datasets` is not
    installed.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    cores, maps = os.cpu_count() or 1, MAPS if find_spec("datasets") else {}
    loop_rates, map_rates = defaultdict(list), defaultdict(list)
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_input(folder, project)
        for _ in range(REPETITIONS):
            stage = stage_rate(folder)
            for library, decoder in decoders().items():
                loop_rates[library].append((stage / cores, loop_rate(decoder)))
            for kind in maps:
                map_rates[kind].append((stage, map_rate(kind, folder)))
    return (
        {library: Comparison.of(rates) for library, rates in loop_rates.items()},
        {kind: Comparison.of(rates) for kind, rates in map_rates.items()},
    )


def figures(project: Path) -> Iterator[Figure]:
    """Yield the rows of the table."""
    (loops, maps), cores = measure(project), os.cpu_count() or 1
    fastest = max(loop.reference for loop in loops.values())
    for library, loop in loops.items():
        name = f"JPEG 640×480 → 224, the whole stage against {library} on one core × the cores"
        rates = f"{cores * loop.value:.0f} images/s against {loop.reference:.0f} per core"
        bar = "≥ 0.8" if loop.reference == fastest else REPORTED
        yield Figure(name, f"{loop.ratio:.2f} ({rates})", bar)
    for kind, other in maps.items():
        name = f"the same against `datasets.map` with as many processes, {kind}"
        value = f"{other.ratio:.2f} × ({other.value:.0f} images/s against {other.reference:.0f})"
        yield Figure(name, value, "≥ 1.5 ×" if kind == GUIDE else REPORTED)
