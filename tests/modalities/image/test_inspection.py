"""Which image files are accepted, and why the others are refused."""

import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from components.common.errors import Problem
from components.modalities.image import decoding
from components.modalities.image.decoding import MAX_PIXELS
from components.modalities.image.inspection import inspect
from components.modalities.image.processing import ImageProcessor
from components.modalities.modality import UnusableAsset
from tests.support.media import encoded, picture, png, png_of
from tests.support.params import ROOT
from tests.support.process import run_python

SIZE = 32
PROCESSOR = ImageProcessor(SIZE)
HUGE = 50_000  # pixels per side
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


def patched(content: bytes, at: int, *values, form: str) -> bytes:
    """Return a file with other numbers at an offset."""
    new = struct.pack(form, *values)
    return content[:at] + new + content[at + len(new) :]


def huge_tiff() -> bytes:
    """Return a TIFF file that declares a huge image."""
    content = encoded(picture(), "TIFF")
    for tag in (256, 257):  # width, height
        at = next(
            at for kind in (3, 4) if (at := content.find(struct.pack("<HHI", tag, kind, 1))) >= 0
        )
        content = patched(content, at, tag, 4, 1, HUGE, form="<HHII")
    return content


def bombs() -> dict[str, bytes]:
    """Return tiny files whose headers declare a huge image."""
    jpeg, webp = encoded(picture(), "JPEG"), encoded(picture(), "WEBP", lossless=True)
    return {
        "PNG": png_of(HUGE, HUGE, b"\0"),
        "PNG, less than Pillow's own limit": png_of(8000, 8001, b"\0"),
        "JPEG": patched(jpeg, jpeg.index(b"\xff\xc0") + 5, HUGE, HUGE, form=">HH"),
        "GIF": patched(encoded(picture(), "GIF"), 6, HUGE, HUGE, form="<HH"),
        "BMP": patched(encoded(picture(), "BMP"), 18, HUGE, HUGE, form="<ii"),
        "WebP": patched(webp, 21, 0x3FFF | 0x3FFF << 14, form="<I"),
        "TIFF": huge_tiff(),
    }


def several_pictures() -> bytes:
    return encoded(picture(), "MPO", save_all=True, append_images=[picture(1)])


def reason(content: bytes) -> str:
    """Return why a file is refused."""
    found = inspect(content)
    assert isinstance(found, Problem), found
    return found.reason


GOOD = {
    "JPEG": encoded(picture(), "JPEG"),
    "progressive JPEG": encoded(picture(), "JPEG", progressive=True),
    "JPEG of several pictures": several_pictures(),
    "PNG": png(),
    "GIF": encoded(picture(), "GIF"),
    "WebP": encoded(picture(), "WEBP"),
    "BMP": encoded(picture(), "BMP"),
    "TIFF": encoded(picture(), "TIFF"),
    "TIFF, LZW": encoded(picture(), "TIFF", compression="tiff_lzw"),
    "TIFF, JPEG": encoded(picture(), "TIFF", compression="jpeg"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_facts_describe_file(kind):
    facts = inspect(GOOD[kind])
    assert (facts["width"], facts["height"]) == (20, 14)
    expected = {"JPEG of several pictures": "MPO"}.get(kind, kind.split()[-1].upper())
    assert facts["format"] == ("TIFF" if kind.startswith("TIFF") else expected)
    assert facts["mode"] in ("RGB", "P")


def test_size_of_large_jpeg_is_not_scaled():
    facts = inspect(encoded(picture(size=(641, 479)), "JPEG"))
    assert (facts["width"], facts["height"]) == (641, 479)


def test_size_is_that_of_upright_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        facts = inspect(encoded(picture(), kind, exif=exif))
        assert (facts["width"], facts["height"]) == (14, 20), kind


def test_mode_is_that_of_file():
    assert inspect(png(mode="LA"))["mode"] == "LA"
    assert inspect(encoded(picture(mode="CMYK"), "JPEG"))["mode"] == "CMYK"


@pytest.mark.parametrize(
    "content, expected",
    [
        (b"", "image_empty"),
        (b"hello", "image_undecodable"),
        (b"<!DOCTYPE html><title>404</title>", "image_undecodable"),
        (b"\0" * 1000, "image_undecodable"),
        (b"\xff\xd8", "image_undecodable"),
        (png()[:40], "image_undecodable"),
        (encoded(picture(), "ICO"), "image_format"),
        (encoded(picture(), "PPM"), "image_format"),
        (encoded(picture(), "PCX"), "image_format"),
        (encoded(picture(), "TGA"), "image_format"),
        (encoded(Image.new("F", (9, 9)), "TIFF"), "image_depth"),
        (encoded(Image.new("I", (9, 9)), "TIFF"), "image_depth"),
        (png_of(0, 5, b""), "image_undecodable"),
    ],
)
def test_unusable_file_has_reason(content, expected):
    assert reason(content) == expected


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_truncated_file_is_refused(kind, fraction):
    first = GOOD[kind][: GOOD[kind].find(b"\xff\xd9") + 2 if "several" in kind else None]
    assert reason(first[: int(fraction * len(first))]) == "image_undecodable"


def test_detail_says_what_was_found():
    assert "begins with b'hello'" in inspect(b"hello").detail
    assert "is PPM, expected one of JPEG, PNG" in inspect(encoded(picture(), "PPM")).detail
    assert "it is an HEIC image: convert it to JPEG" in inspect(b"\0\0\0\x18ftypheic").detail
    assert "of Git LFS and not the file itself: git lfs pull" in inspect(LFS_POINTER).detail
    assert "declares 50000 × 2000 pixels" in inspect(png_of(HUGE, 2000, b"")).detail
    assert not [content for content in (b"hello", b"\0" * 99) if "0x" in inspect(content).detail]


def test_broken_checksum_is_refused():
    content = png()
    at = content.index(b"IEND") - 8  # the checksum of the pixels; they themselves are sound
    broken = patched(content, at, content[at] ^ 1, form="B")
    assert reason(broken) == "image_undecodable"
    assert "checksum" in inspect(broken).detail


def test_png_without_end_is_refused():
    content = png()
    assert reason(content[: content.index(b"IEND") - 4]) == "image_undecodable"


def test_trailing_bytes_are_ignored():
    for kind in ("JPEG", "PNG", "GIF"):
        assert inspect(GOOD[kind] + b"\0" * 100) == inspect(GOOD[kind])


def test_bombs_are_refused():
    for kind, content in bombs().items():
        assert len(content) < 2000, kind
        assert reason(content) == "image_too_large", kind


def test_bombs_take_no_memory(tmp_path):
    for number, content in enumerate(bombs().values()):
        (tmp_path / str(number)).write_bytes(content)
    (tmp_path / "good").write_bytes(png())
    script = (
        "from pathlib import Path\n"
        "from components.modalities.image.inspection import inspect\n"
        "def peak():\n"
        "    status = Path('/proc/self/status').read_text()\n"
        "    return int(status.split('VmHWM:')[1].split()[0]) * 1024\n"
        "for path in (Path('good'), Path('0')): inspect(path.read_bytes())\n"
        "before = peak()\n"
        "for path in Path().iterdir(): inspect(path.read_bytes())\n"
        "print(peak() - before)\n"
    )
    process = run_python("-c", script, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert int(process.stdout) < 8 * 2**20  # the smallest bomb would take 192 MB


def test_size_limit_is_inclusive(monkeypatch):
    assert MAX_PIXELS == 64_000_000
    monkeypatch.setattr(decoding, "MAX_PIXELS", 20 * 14)
    assert inspect(png())["width"] == 20
    assert reason(png(size=(20, 15))) == "image_too_large"


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_any_aspect_ratio_is_accepted(size):
    assert (inspect(png(size=size))["width"], inspect(png(size=size))["height"]) == size


def test_nothing_is_printed(tmp_path):
    control = (b"acTL", struct.pack(">II", 0, 0))  # an animation of no frame
    rows = b"".join(b"\0" + bytes(3 * 5) for _ in range(5))
    many = encoded(picture(), "TIFF").replace(
        struct.pack("<HHIHH", 277, 3, 1, 3, 0), struct.pack("<HHIHH", 277, 3, 1, 9999, 0)
    )
    bad = [many, b"II*\0" + b"\xff" * 50]
    files = [png_of(5, 5, rows, 8, 2, control), png(mode="P"), *bad]
    assert [content for content in files if isinstance(inspect(content), Problem)] == bad
    for number, content in enumerate(files):
        (tmp_path / str(number)).write_bytes(content)
    script = (
        "from pathlib import Path\n"
        "from components.modalities.image.inspection import inspect\n"
        "for path in Path().iterdir(): inspect(path.read_bytes())\n"
    )
    process = run_python("-c", script, cwd=tmp_path)
    assert (process.returncode, process.stdout, process.stderr) == (0, "", "")


def test_inspection_is_thread_safe():
    contents = [damaged(content, seed) for seed in range(20) for content in GOOD.values()]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(inspect, contents)) == [inspect(content) for content in contents]


def damaged(content: bytes, seed: int) -> bytes:
    """Return a file with a few other bytes, or truncated."""
    random = np.random.default_rng(seed)
    changed = bytearray(content)
    for at in random.integers(0, len(content), random.integers(1, 6)):
        changed[at] = random.integers(256)
    return bytes(changed[: random.integers(1, 2 * len(content))])


@pytest.mark.parametrize("kind", GOOD)
def test_inspection_agrees_with_processor_on_damaged_files(kind):
    accepted = 0
    for seed in range(100):
        content = damaged(GOOD[kind], seed)
        found = inspect(content)
        if isinstance(found, Problem):
            with pytest.raises(UnusableAsset) as refused:
                PROCESSOR([content])
            assert refused.value.reason == found.reason
        else:
            assert PROCESSOR([content])["pixels"].shape == (1, 3, SIZE, SIZE)
            accepted += 1
    assert accepted < 100


def test_damaged_jpeg_is_refused_at_every_scale_or_none():
    content = encoded(picture(size=(400, 300)), "JPEG")
    for seed in range(40):
        broken = damaged(content, seed)
        found = inspect(broken)
        try:
            PROCESSOR([broken])
        except UnusableAsset as error:
            assert found.reason == error.reason
        else:
            assert not isinstance(found, Problem)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
def test_fast_jpeg_decoder_agrees_with_pillow(monkeypatch, options):
    content = encoded(picture(), "JPEG", **options)
    files = [content, *(damaged(content, seed) for seed in range(200))]
    found = [inspect(file) for file in files]
    monkeypatch.setattr(decoding, "_plain_jpeg", lambda content, min_side: None)
    assert found == [inspect(file) for file in files]


def test_inspection_needs_no_torch():
    script = "import sys, components.modalities.image.inspection; sys.exit('torch' in sys.modules)"
    assert run_python("-c", script, cwd=ROOT).returncode == 0


def test_damaged_image_is_not_taken_for_another_kind_of_file():
    found = inspect(b"\x89PNG\r\n\x1a\n and then something else").detail
    assert found.endswith("; download or save it again")
