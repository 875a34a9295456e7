"""Image files of every kind become RGB of one size, with the colours that a viewer shows."""

import io
import pickle
import struct
from functools import partial

import numpy as np
import pytest
from cykooz_resizer import CpuExtensions, Resizer
from PIL import Image, ImageChops

from components.modalities.image import processing
from components.modalities.image.decoding import decode
from components.modalities.image.processing import ImageProcessor
from components.modalities.modality import UnusableAsset
from tests.support.media import encoded, picture, png, png_of

SIZE = 32
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
PROCESSOR = ImageProcessor(SIZE)


def pixels(content: bytes) -> np.ndarray:
    """Return one image as [H, W, 3]."""
    return PROCESSOR([content])["pixels"][0].transpose(1, 2, 0)


def is_all(content: bytes, colour: tuple[int, int, int], tolerance: int = 0) -> bool:
    return bool((np.abs(pixels(content).astype(int) - colour) <= tolerance).all())


def quarters() -> Image.Image:
    """Return an image with red, green / blue, white corners."""
    image = Image.new("RGB", (SIZE, SIZE), WHITE)
    half = SIZE // 2
    for colour, corner in ((RED, (0, 0)), (GREEN, (half, 0)), (BLUE, (0, half))):
        image.paste(colour, (*corner, corner[0] + half, corner[1] + half))
    return image


def photograph(width: int, height: int) -> Image.Image:
    """Return soft shapes with some grain, as in photographs."""
    rough = picture(size=(width // 16, height // 16)).resize((width, height), Image.BICUBIC)
    return Image.blend(rough, picture(1, size=(width, height)), 0.1)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "CMYK"])
@pytest.mark.parametrize("size", [(32, 32), (200, 31), (7, 90), (1, 1), (5000, 1)])
def test_any_mode_and_size_becomes_rgb(mode, size):
    kind = "TIFF" if mode == "CMYK" else "PNG"
    result = PROCESSOR([encoded(picture(size=size, mode=mode), kind)])["pixels"]
    assert result.shape == (1, 3, SIZE, SIZE)
    assert result.dtype == np.uint8


def test_image_of_right_size_is_unchanged():
    source = picture(size=(SIZE, SIZE))
    assert (pixels(encoded(source)) == np.asarray(source)).all()


def test_jpeg_of_right_size_is_unchanged():
    content = encoded(picture(size=(SIZE, SIZE)), "JPEG")
    assert (pixels(content) == np.asarray(Image.open(io.BytesIO(content)))).all()


def test_batched_equals_alone():
    contents = [png(0), png(1, size=(60, 33)), png(2, mode="L"), encoded(picture(3), "JPEG")]
    together = PROCESSOR(contents)["pixels"]
    for row, content in enumerate(contents):
        assert (together[row] == PROCESSOR([content])["pixels"][0]).all()


def test_no_files_give_empty_batch():
    assert PROCESSOR([])["pixels"].shape == (0, 3, SIZE, SIZE)


def test_centre_is_cut_out():
    wide = Image.new("RGB", (3 * SIZE, SIZE))
    wide.paste(RED, (SIZE, 0, 2 * SIZE, SIZE))
    assert is_all(encoded(wide), RED)
    assert is_all(encoded(wide.transpose(Image.Transpose.ROTATE_90)), RED)


def test_shrinking_averages():
    checks = np.indices((8 * SIZE, 8 * SIZE)).sum(0) % 2 * 255
    shrunk = pixels(encoded(Image.fromarray(checks.astype(np.uint8))))
    assert np.abs(shrunk.astype(int) - 127).max() <= 2


@pytest.mark.parametrize("size", [(640, 480), (97, 64), (65, 64), (64, 500), (31, 31)])
def test_jpeg_decoded_at_fraction_looks_the_same(size):
    content = encoded(photograph(*size), "JPEG")
    whole = pixels(encoded(Image.fromarray(decode(content).pixels)))
    difference = np.abs(pixels(content).astype(int) - whole)
    assert difference.mean() < 3
    assert difference.max() < 40


def test_jpeg_is_not_decoded_below_min_side():
    content = encoded(photograph(640, 480), "JPEG")
    shapes = [
        decode(content, min_side).pixels.shape for min_side in (None, 480, 241, 240, 61, 60, 1)
    ]
    assert shapes == [
        (480, 640, 3),
        (480, 640, 3),
        (480, 640, 3),
        (240, 320, 3),
        (120, 160, 3),
        (60, 80, 3),
        (60, 80, 3),
    ]


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("size", [(640, 480), (479, 241), (9, 64), (8, 8), (7, 7), (1, 1)])
@pytest.mark.parametrize("min_side", [None, 32])
def test_plain_jpeg_equals_pillow(mode, options, size, min_side):
    content = encoded(photograph(*size).convert(mode), "JPEG", **options)
    with Image.open(io.BytesIO(content)) as image:
        if min_side:
            image.draft(None, (min_side, min_side))
        expected = np.asarray(image.convert("RGB"))
    found = decode(content, min_side)
    assert (found.width, found.height, found.mode) == (*size, mode)
    assert np.array_equal(found.pixels, expected)


@pytest.mark.parametrize("size", [(320, 240), (213, 500), (1000, 1001), (20, 9), (1, 1)])
def test_resizing_does_not_depend_on_cpu(size, monkeypatch):
    """The bytes are those of Pillow too, up to rounding."""
    source = picture(size=size)
    resized = []
    for extensions in CpuExtensions:
        monkeypatch.setattr(processing, "Resizer", partial(resizer_with, extensions))
        resized.append(pixels(encoded(source)))
    assert all(np.array_equal(resized[0], other) for other in resized)
    side = min(size)
    left, top = (size[0] - side) / 2, (size[1] - side) / 2
    box = (left, top, left + side, top + side)
    expected = np.asarray(source.resize((SIZE, SIZE), Image.BILINEAR, box)).astype(int)
    assert np.abs(resized[0] - expected).max() <= 1


def resizer_with(extensions: CpuExtensions) -> Resizer:
    """Return a resizer with these instructions, or its own choice if the machine lacks them."""
    resizer = Resizer()
    resizer.cpu_extensions = extensions
    return resizer


def test_gray_is_equal_in_every_channel():
    gray = pixels(png(size=(SIZE, SIZE), mode="L"))
    assert (gray[..., :1] == gray).all()


def test_16_bit_gray_keeps_its_shades():
    ramp = np.linspace(0, 65535, SIZE * SIZE).reshape(SIZE, SIZE).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        assert (pixels(encoded(Image.fromarray(ramp), kind))[..., 0] == ramp // 256).all()


def gray_tiff(rows: bytes, bits: int, zero_is_white: bool = False) -> bytes:
    """Return an uncompressed TIFF file of the size with any number of bits per pixel."""
    shorts = {256: SIZE, 257: SIZE, 258: bits, 259: 1, 262: int(not zero_is_white), 277: 1}
    longs = {273: 8, 278: SIZE, 279: len(rows)}
    entries = [struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in shorts.items()]
    entries += [struct.pack("<HHII", tag, 4, 1, value) for tag, value in longs.items()]
    directory = struct.pack("<H", len(entries)) + b"".join(sorted(entries, key=tag_of)) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(rows)) + rows + directory


def tag_of(entry: bytes) -> int:
    """Return the number that a TIFF's directory is sorted by."""
    return struct.unpack("<H", entry[:2])[0]


def test_12_bit_gray_keeps_its_shades():
    ramp = np.linspace(0, 4095, SIZE * SIZE).astype(int).reshape(-1, 2)
    first, second = ramp.T  # two pixels are three bytes
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 1)
    found = pixels(gray_tiff(packed.astype(np.uint8).tobytes(), 12))
    assert (found[..., 0] == ramp.reshape(SIZE, SIZE) // 16).all()


def test_gray_with_white_zero_is_inverted():
    ramp = np.linspace(0, 65535, SIZE * SIZE).astype("<u2").reshape(SIZE, SIZE)
    deep = pixels(gray_tiff(ramp.tobytes(), 16, zero_is_white=True))
    flat = pixels(gray_tiff((ramp // 256).astype(np.uint8).tobytes(), 8, zero_is_white=True))
    assert (deep[..., 0] == 255 - ramp // 256).all()
    assert (flat == deep).all()


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3)])
def test_16_bit_channels_keep_colours(kind, channels):
    values = np.random.default_rng(0).integers(0, 65536, (SIZE, SIZE, channels))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    assert (pixels(png_of(SIZE, SIZE, rows, 16, kind)) == values // 256).all()


@pytest.mark.parametrize(("kind", "channels"), [(4, 2), (6, 4)])
def test_16_bit_transparency_is_laid_over_white(kind, channels):
    black = np.zeros((SIZE, SIZE, channels))
    clear = b"".join(b"\0" + row.astype(">u2").tobytes() for row in black)
    assert is_all(png_of(SIZE, SIZE, clear, 16, kind), WHITE)
    black[..., -1] = 65535
    solid = b"".join(b"\0" + row.astype(">u2").tobytes() for row in black)
    assert is_all(png_of(SIZE, SIZE, solid, 16, kind), (0, 0, 0))


def test_one_bit_is_black_and_white():
    source = picture(size=(SIZE, SIZE), mode="1")
    assert (pixels(encoded(source))[..., 0] == np.asarray(source) * 255).all()


def test_transparency_is_laid_over_white():
    half = Image.new("RGBA", (SIZE, SIZE), (255, 0, 0, 128))
    for kind in ("PNG", "TIFF"):
        assert is_all(encoded(half, kind), (255, 127, 127))
    assert is_all(encoded(half, "WEBP", lossless=True), (255, 127, 127))
    assert is_all(encoded(Image.new("LA", (SIZE, SIZE), (0, 128))), (127, 127, 127))
    assert is_all(encoded(Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))), WHITE)


def test_transparent_palette_colour_is_white():
    palette = Image.new("P", (SIZE, SIZE), 1)
    palette.putpalette([*RED, *GREEN])
    assert is_all(encoded(palette), GREEN)
    for kind in ("PNG", "GIF"):
        assert is_all(encoded(palette, kind, transparency=1), WHITE)
        assert is_all(encoded(palette, kind, transparency=0), GREEN)
    assert is_all(encoded(palette, "PNG", transparency=bytes([255, 128])), (127, 255, 127))


def test_transparent_colour_without_palette_is_white():
    source = quarters()
    source.paste(WHITE, (0, 0, SIZE // 2, SIZE // 2))
    found = pixels(encoded(quarters(), "PNG", transparency=RED))
    assert (found == np.asarray(source)).all()


@pytest.mark.parametrize("colour", [RED, GREEN, BLUE, WHITE, (0, 0, 0), (60, 120, 200)])
def test_cmyk_keeps_colours(colour):
    ink = Image.new("RGB", (SIZE, SIZE), colour).convert("CMYK")
    adobe = encoded(ink, "JPEG", quality=100)  # Pillow inverts, as Adobe does, and says Adobe
    assert is_all(adobe, colour, 3)
    assert is_all(encoded(ink, "TIFF"), colour)


@pytest.mark.parametrize("colour", [RED, BLUE, (60, 120, 200)])
def test_cmyk_without_adobe_marker_is_not_inverted(colour):
    ink = Image.new("RGB", (SIZE, SIZE), colour).convert("CMYK")
    content = encoded(ImageChops.invert(ink), "JPEG", quality=100)
    at = content.index(b"\xff\xee")
    assert content[at + 4 : at + 9] == b"Adobe"
    assert is_all(content[:at] + content[at + 16 :], colour, 3)


@pytest.mark.parametrize("colour", [RED, BLUE, (60, 120, 200)])
def test_ycck_keeps_colours(colour):
    """Adobe's other encoding: the first three inks as luminance and colour difference, inverted."""
    cyan, magenta, yellow, black = Image.new("RGB", (SIZE, SIZE), colour).convert("CMYK").split()
    stored = Image.merge("RGB", (cyan, magenta, yellow)).convert("YCbCr")
    inverted = [ImageChops.invert(channel) for channel in stored.split()]
    content = encoded(Image.merge("CMYK", (*inverted, black)), "JPEG", quality=100)
    at = content.index(b"Adobe") + 11
    assert content[at] == 0
    assert is_all(content[:at] + b"\x02" + content[at + 1 :], colour, 4)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "MPO"])
def test_first_frame_or_page_is_used(kind):
    first, *others = (Image.new("RGB", (SIZE, SIZE), colour) for colour in (RED, GREEN, BLUE))
    animation = encoded(first, kind, save_all=True, append_images=others)
    assert Image.open(io.BytesIO(animation)).n_frames == 3
    assert is_all(animation, RED, 4)


EDGES = {  # EXIF orientation → where the file's first row and first column belong
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


def as_stored(upright: Image.Image, orientation: int) -> Image.Image:
    row, column = EDGES[orientation]
    array = np.asarray(upright)
    if row in ("left", "right"):
        array = array.swapaxes(0, 1)
    if row in ("right", "bottom"):
        array = array[::-1]
    if column in ("right", "bottom"):
        array = array[:, ::-1]
    return Image.fromarray(np.ascontiguousarray(array))


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("orientation", EDGES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_undone(orientation, kind):
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    stored = as_stored(quarters(), orientation)
    content = encoded(stored, kind, exif=oriented(orientation), **options.get(kind, {}))
    difference = np.abs(pixels(content).astype(int) - np.asarray(quarters()))
    assert difference.max() <= (6 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_unknown_orientation_is_ignored(orientation):
    content = encoded(quarters(), "PNG", exif=oriented(orientation))
    assert (pixels(content) == np.asarray(quarters())).all()


def test_damaged_exif_is_ignored():
    for exif in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense"):
        content = encoded(quarters(), "PNG", exif=exif)
        assert (pixels(content) == np.asarray(quarters())).all()


def test_unusable_file_names_reason():
    """The error passes between processes, as those of a pool."""
    with pytest.raises(UnusableAsset, match="begins with b'hello'") as refused:
        PROCESSOR([png(), b"hello"])
    assert refused.value.reason == "image_undecodable"
    copy = pickle.loads(pickle.dumps(refused.value))
    assert (copy.reason, str(copy)) == (refused.value.reason, str(refused.value))
