"""Decodes image files to uint8 arrays, without torch: ingest checks files with it."""

import io
import logging
import warnings
from dataclasses import dataclass

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageChops, UnidentifiedImageError
from PIL.Image import Transpose

from components.common.formats import IMAGE, START, TO_IMAGE, recognised
from components.modalities.modality import UnusableAsset

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")  # the content decides, not the name
MAX_PIXELS = 64_000_000  # that a file may declare

UPRIGHT = {  # EXIF orientation → transposition that undoes it
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)  # those that exchange width and height
SCAN = b"\xff\xda"  # marker in a JPEG before the pixels
PLAIN = {  # markers before it in most files: size, tables, JFIF, a comment
    *(b"\xff\xc0", b"\xff\xc1", b"\xff\xc2", b"\xff\xc4", b"\xff\xdb", b"\xff\xdd"),
    *(b"\xff\xe0", b"\xff\xfe", SCAN),
}
MODES = {"Gray": "L", "YCbCr": "RGB", "RGB": "RGB"}  # libjpeg-turbo's names → Pillow's


@dataclass(frozen=True)
class Picture:
    """The first frame or page of an image file, upright, over white where it is transparent."""

    pixels: np.ndarray  # uint8 [h, w, 3], RGB
    width: int  # of the file, in pixels; that of `pixels` can be less
    height: int
    format: str  # one of `FORMATS`, or MPO, a JPEG that holds further pictures
    mode: str  # Pillow's name of the pixel format: L, P, RGBA, CMYK, …


def decode(content: bytes, min_side: int | None = None) -> Picture:
    """Decode an image file; UnusableAsset if it cannot be used.

    With `min_side`, a JPEG is decoded at a half, a quarter or an eighth of its size, which is
    faster, as long as neither side gets shorter than that.
    """
    if not content:
        raise UnusableAsset("image_empty", "the file is empty")
    # Without Pillow's warnings, which are off for good, as other threads may be decoding.
    warnings.filterwarnings("ignore", module=r"PIL\.", append=True)
    logging.getLogger("PIL.TiffImagePlugin").disabled = True
    try:
        return _plain_jpeg(content, min_side) or _decode(content, min_side)
    except UnusableAsset:
        raise
    except Image.DecompressionBombError as error:
        raise UnusableAsset("image_too_large", f"the image is too large: {error}") from error
    except UnidentifiedImageError as error:
        raise _unidentified(content) from error
    except Exception as error:  # Pillow does not say what a damaged file can raise
        raise UnusableAsset("image_undecodable", f"the image cannot be decoded: {error}") from error


def _plain_jpeg(content: bytes, min_side: int | None) -> Picture | None:
    """Decode a plain JPEG without Pillow: the same numbers, faster; None for any other file."""
    if not _is_plain(content):
        return None
    try:
        *size, colours, _ = simplejpeg.decode_jpeg_header(content)
        height, width = map(int, size)
        if width * height > MAX_PIXELS or max(width, height) < 8 or colours not in MODES:
            return None
        scale = next((n for n in (8, 4, 2) if min_side and min(width, height) >= n * min_side), 1)
        pixels = simplejpeg.decode_jpeg(
            content, min_height=-(-height // scale), min_width=-(-width // scale)
        )
    except ValueError:
        return None
    return Picture(pixels, width, height, "JPEG", MODES[colours])


def _is_plain(content: bytes) -> bool:
    """Return whether a file is a JPEG without EXIF and further pictures."""
    at = 2
    while (marker := content[at : at + 2]) in PLAIN:
        if marker == SCAN:
            return True
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return False


def _decode(content: bytes, min_side: int | None) -> Picture:
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        width, height, mode = *image.size, image.mode
        if width * height > MAX_PIXELS:
            raise UnusableAsset(
                "image_too_large",
                f"the image is too large: it declares {width} × {height} pixels, "
                f"at most {MAX_PIXELS:,} are decoded",
            )
        if image.format == "PNG":
            with Image.open(io.BytesIO(content), formats=("PNG",)) as again:
                again.verify()  # loading pixels checks no checksum
        if min_side:
            image.draft(None, (min_side, min_side))
        image.load()
    orientation = _orientation(image)
    if orientation in SIDEWAYS:
        width, height = height, width
    upright = _rgb(image)
    if orientation in UPRIGHT:
        upright = upright.transpose(UPRIGHT[orientation])
    return Picture(np.asarray(upright), width, height, str(image.format), mode)


def _orientation(image: Image.Image) -> int:
    """Return the orientation in EXIF or XMP; 1, upright, if it cannot be read."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata can raise anything; the pixels are good
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = _8_bits(image)
    elif image.mode in ("I", "F"):
        raise UnusableAsset(
            "image_depth",
            "the image holds 32-bit, signed or floating-point numbers, and nothing says which of "
            "them is white; save it with 8 or 16 bits a channel",
        )
    elif image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
        image = ImageChops.invert(image)  # Pillow assumes Adobe's inverted CMYK
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A"))
        return paper
    return image if image.mode == "RGB" else image.convert("RGB")


def _8_bits(image: Image.Image) -> Image.Image:
    """Return the upper 8 of 12 or 16 bits; Pillow itself makes every shade above 255 white."""
    tags = getattr(image, "tag_v2", {})
    (bits,) = tags.get(ExifTags.Base.BitsPerSample, (16,))
    shades = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    white_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation) == 0
    return Image.fromarray(255 - shades if white_is_zero else shades)


def _unidentified(content: bytes) -> UnusableAsset:
    """Return the error of a file that has none of `FORMATS`."""
    allowed = ", ".join(FORMATS)
    try:
        with Image.open(io.BytesIO(content)) as image:
            kind = image.format
    except Exception:  # as in `decode`
        return UnusableAsset(
            "image_undecodable",
            f"the image cannot be decoded: not a valid {allowed}; "
            f"{recognised(content[:START], IMAGE) or f'it begins with {content[:16]!r}'}",
        )
    detail = f"the format of the image is {kind}, expected one of {allowed}: {TO_IMAGE}"
    return UnusableAsset("image_format", detail)
