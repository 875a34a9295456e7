"""What is accepted of image files, and what is said of the others."""

import io
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from components.common.errors import Problem
from components.modalities.image import decoding as decoding
from components.modalities.image.decoding import MAX_PIXELS, ImageError, ImageProcessor
from components.modalities.image.inspection import inspect
from tests.shrunk import ROOT, encoded, picture, png, run_python, small_settings

PROCESSOR = ImageProcessor(small_settings().preprocess.image)
HUGE = 50_000  # pixels a side


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    body = name + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png_of(width: int, height: int, rows: bytes, depth: int = 8, kind: int = 2, *extra) -> bytes:
    """A PNG file with any header; kind 0 is gray, 2 RGB, 4 gray with alpha, 6 RGBA."""
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks)


def patched(content: bytes, at: int, *values, form: str) -> bytes:
    """A file with other numbers at a place."""
    new = struct.pack(form, *values)
    return content[:at] + new + content[at + len(new) :]


def huge_tiff() -> bytes:
    content = encoded(picture(), "TIFF")
    for tag in (256, 257):  # width, height
        at = next(
            at for kind in (3, 4) if (at := content.find(struct.pack("<HHI", tag, kind, 1))) >= 0
        )
        content = patched(content, at, tag, 4, 1, HUGE, form="<HHII")
    return content


def bombs() -> dict[str, bytes]:
    """Tiny files whose headers declare a huge image."""
    jpeg, webp = encoded(picture(), "JPEG"), picture_file("WEBP", lossless=True)
    return {
        "PNG": png_of(HUGE, HUGE, b"\0"),
        "PNG, less than Pillow's own limit": png_of(8000, 8001, b"\0"),
        "JPEG": patched(jpeg, jpeg.index(b"\xff\xc0") + 5, HUGE, HUGE, form=">HH"),
        "GIF": patched(encoded(picture(), "GIF"), 6, HUGE, HUGE, form="<HH"),
        "BMP": patched(encoded(picture(), "BMP"), 18, HUGE, HUGE, form="<ii"),
        "WebP": patched(webp, 21, 0x3FFF | 0x3FFF << 14, form="<I"),
        "TIFF": huge_tiff(),
    }


def picture_file(kind: str, **options) -> bytes:
    file = io.BytesIO()
    picture().save(file, kind, **options)
    return file.getvalue()


def reason(content: bytes) -> str:
    found = inspect(content)
    assert isinstance(found, Problem), found
    return found.reason


GOOD = {
    "JPEG": encoded(picture(), "JPEG"),
    "progressive JPEG": picture_file("JPEG", progressive=True),
    "JPEG of several pictures": picture_file("MPO", save_all=True, append_images=[picture(1)]),
    "PNG": png(),
    "GIF": encoded(picture(), "GIF"),
    "WebP": encoded(picture(), "WEBP"),
    "BMP": encoded(picture(), "BMP"),
    "TIFF": encoded(picture(), "TIFF"),
    "TIFF, LZW": picture_file("TIFF", compression="tiff_lzw"),
    "TIFF, JPEG": picture_file("TIFF", compression="jpeg"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_the_facts_are_those_of_the_file(kind):
    facts = inspect(GOOD[kind])
    assert (facts["width"], facts["height"]) == (20, 14)
    expected = {"JPEG of several pictures": "MPO"}.get(kind, kind.split()[-1].upper())
    assert facts["format"] == ("TIFF" if kind.startswith("TIFF") else expected)
    assert facts["mode"] in ("RGB", "P")


def test_the_size_of_a_large_jpeg_is_its_own():
    facts = inspect(encoded(picture(size=(641, 479)), "JPEG"))
    assert (facts["width"], facts["height"]) == (641, 479)


def test_the_size_is_that_of_the_upright_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        facts = inspect(picture_file(kind, exif=exif))
        assert (facts["width"], facts["height"]) == (14, 20), kind


def test_the_mode_is_the_file_s():
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
def test_the_reason_says_what_is_wrong(content, expected):
    assert reason(content) == expected


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_cut_short_is_refused(kind, share):
    first = GOOD[kind][: GOOD[kind].find(b"\xff\xd9") + 2 if "several" in kind else None]
    assert reason(first[: int(share * len(first))]) == "image_undecodable"


def test_a_sentence_says_what_was_found_and_is_the_same_in_every_run():
    assert "begins with b'hello'" in inspect(b"hello").detail
    assert "is a PPM, expected one of JPEG, PNG" in inspect(encoded(picture(), "PPM")).detail
    assert "declares 50000 × 2000 pixels" in inspect(png_of(HUGE, 2000, b"")).detail
    assert not [content for content in (b"hello", b"\0" * 99) if "0x" in inspect(content).detail]


def test_a_broken_checksum_is_refused():
    content = png()
    at = content.index(b"IEND") - 8  # the checksum of the pixels; they themselves are sound
    broken = patched(content, at, content[at] ^ 1, form="B")
    assert reason(broken) == "image_undecodable"
    assert "checksum" in inspect(broken).detail


def test_a_png_without_its_end_is_refused():
    content = png()
    assert reason(content[: content.index(b"IEND") - 4]) == "image_undecodable"


def test_what_stands_behind_the_image_does_not_matter():
    for kind in ("JPEG", "PNG", "GIF"):
        assert inspect(GOOD[kind] + b"\0" * 100) == inspect(GOOD[kind])


def test_bombs_are_refused_for_their_size():
    for kind, content in bombs().items():
        assert len(content) < 2000, kind
        assert reason(content) == "image_too_large", kind


def test_bombs_are_refused_before_any_memory_is_taken(tmp_path):
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


def test_the_limit_itself_is_allowed(monkeypatch):
    assert MAX_PIXELS == 64_000_000
    monkeypatch.setattr(decoding, "MAX_PIXELS", 20 * 14)
    assert inspect(png())["width"] == 20
    assert reason(png(size=(20, 15))) == "image_too_large"


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_any_shape_is_accepted(size):
    assert (inspect(png(size=size))["width"], inspect(png(size=size))["height"]) == size


def test_no_warning_is_printed(tmp_path):
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


def test_threads_can_share_it():
    contents = [damaged(content, seed) for seed in range(20) for content in GOOD.values()]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(inspect, contents)) == [inspect(content) for content in contents]


def damaged(content: bytes, seed: int) -> bytes:
    """A file with a few other bytes, or cut."""
    random = np.random.default_rng(seed)
    changed = bytearray(content)
    for at in random.integers(0, len(content), random.integers(1, 6)):
        changed[at] = random.integers(256)
    return bytes(changed[: random.integers(1, 2 * len(content))])


@pytest.mark.parametrize("kind", GOOD)
def test_whatever_is_damaged_the_check_says_a_reason_or_the_processor_can_decode_it(kind):
    accepted = 0
    for seed in range(100):
        content = damaged(GOOD[kind], seed)
        found = inspect(content)
        if isinstance(found, Problem):
            with pytest.raises(ImageError) as refused:
                PROCESSOR([content])
            assert refused.value.reason == found.reason
        else:
            assert PROCESSOR([content])["pixels"].shape == (1, 3, 32, 32)
            accepted += 1
    assert accepted < 100


def test_a_large_jpeg_is_refused_at_every_scale_or_at_none():
    content = encoded(picture(size=(400, 300)), "JPEG")
    for seed in range(40):
        broken = damaged(content, seed)
        found = inspect(broken)
        try:
            PROCESSOR([broken])
        except ImageError as error:
            assert found.reason == error.reason
        else:
            assert not isinstance(found, Problem)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
def test_of_a_damaged_jpeg_the_same_is_said_as_by_pillow(monkeypatch, options):
    content = picture_file("JPEG", **options)
    files = [content, *(damaged(content, seed) for seed in range(200))]
    found = [inspect(file) for file in files]
    monkeypatch.setattr(decoding, "_plain_jpeg", lambda content, least: None)
    assert found == [inspect(file) for file in files]


def test_the_check_needs_no_torch():
    script = "import sys, components.modalities.image.inspection; sys.exit('torch' in sys.modules)"
    assert run_python("-c", script, cwd=ROOT).returncode == 0
