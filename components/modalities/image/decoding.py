"""Image files to uint8 arrays. Without torch: ingest decodes with it too, in every process."""

import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import simplejpeg
from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
from PIL import ExifTags, Image, ImageChops, UnidentifiedImageError
from PIL.Image import Transpose

from components.modalities.settings import ImageSettings

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")  # the content decides, not the name
MAX_PIXELS = 64_000_000  # that a file may declare

UPRIGHT = {  # EXIF orientation → what undoes it
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
SIDEWAYS = (5, 6, 7, 8)
SCAN = b"\xff\xda"  # the marker in a JPEG before the pixels
PLAIN = {  # the markers before it in most files: size, tables, JFIF, a comment
    *(b"\xff\xc0", b"\xff\xc1", b"\xff\xc2", b"\xff\xc4", b"\xff\xdb", b"\xff\xdd"),
    *(b"\xff\xe0", b"\xff\xfe", SCAN),
}
MODES = {"Gray": "L", "YCbCr": "RGB", "RGB": "RGB"}  # libjpeg-turbo's names and Pillow's
MIDDLE = ResizeOptions(  # averages what it shrinks; the same numbers on every processor
    ResizeAlg.convolution(FilterType.bilinear), fit_into_destination=True
)


class ImageError(ValueError):
    """An image file that cannot be used: `ImageError(reason, detail)`.

    The reason is a stable code (docs/media.md lists them), the detail a sentence.
    """

    @property
    def reason(self) -> str:
        """The code."""
        return self.args[0]

    def __str__(self) -> str:
        return self.args[1]


@dataclass(frozen=True)
class Picture:
    """A decoded image file.

    Attributes:
        pixels: uint8 [h, w, 3], RGB: its first frame or page, upright, over white where it is
            transparent.
        width: of the file, upright, in pixels; `pixels` can be fewer.
        height: likewise.
        format: one of `FORMATS`, or MPO: a JPEG that holds further pictures.
        mode: Pillow's name for its kind of pixels, as L, P, RGBA, CMYK.
    """

    pixels: np.ndarray
    width: int
    height: int
    format: str
    mode: str


def decode(content: bytes, least: int | None = None) -> Picture:
    """Decode an image file.

    Args:
        content: the file.
        least: a JPEG may be decoded at a half, a quarter or an eighth of its size, which is
            faster, as long as neither side gets shorter than this; None: at its own size.

    Raises:
        ImageError: the file cannot be used.
    """
    if not content:
        raise ImageError("image_empty", "the file is empty")
    _silence()
    try:
        return _plain_jpeg(content, least) or _decode(content, least)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("image_too_large", f"the image is too large: {error}") from error
    except UnidentifiedImageError as error:
        raise _unidentified(content) from error
    except Exception as error:  # Pillow does not say what a damaged file can raise
        raise ImageError("image_undecodable", f"the image cannot be decoded: {error}") from error


def _plain_jpeg(content: bytes, least: int | None) -> Picture | None:
    """What most JPEG files are, decoded without Pillow: the same numbers, sooner.

    None if the file is anything else or not quite sound: then Pillow says what it is.
    """
    if not _is_plain(content):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
        if width * height > MAX_PIXELS or max(width, height) < 8 or colours not in MODES:
            return None
        scale = next((n for n in (8, 4, 2) if least and min(width, height) >= n * least), 1)
        pixels = simplejpeg.decode_jpeg(
            content, min_height=-(-height // scale), min_width=-(-width // scale)
        )
    except ValueError:
        return None
    return Picture(pixels, width, height, "JPEG", MODES[colours])


def _is_plain(content: bytes) -> bool:
    """Whether a file is a JPEG that holds nothing but its pixels: no EXIF, no further picture."""
    at = 2
    while (marker := content[at : at + 2]) in PLAIN:
        if marker == SCAN:
            return True
        at += 2 + int.from_bytes(content[at + 2 : at + 4])
    return False


def _decode(content: bytes, least: int | None) -> Picture:
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        width, height, mode = *image.size, image.mode
        if width * height > MAX_PIXELS:
            raise ImageError(
                "image_too_large",
                f"the image is too large: it declares {width} × {height} pixels, "
                f"at most {MAX_PIXELS:,} are decoded",
            )
        if image.format == "PNG":
            with Image.open(io.BytesIO(content), formats=("PNG",)) as again:
                again.verify()  # reading the pixels looks at no checksum
        if least:
            image.draft(None, (least, least))
        image.load()
    orientation = _orientation(image)
    if orientation in SIDEWAYS:
        width, height = height, width
    upright = _rgb(image)
    if orientation in UPRIGHT:
        upright = upright.transpose(UPRIGHT[orientation])
    return Picture(np.asarray(upright), width, height, image.format, mode)


def _silence() -> None:
    """No more warnings of Pillow's: an image is used, or the reason why not is told.

    It stays so, since other threads may be decoding.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.", append=True)
    logging.getLogger("PIL.TiffImagePlugin").disabled = True


def _orientation(image: Image.Image) -> int:
    """As EXIF or XMP says; 1, upright, if they cannot be read."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # what damaged metadata raise is anyone's guess; the pixels are good
        return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = _8_bits(image)
    elif image.mode in ("I", "F"):
        raise ImageError(
            "image_depth",
            "the image holds 32-bit, signed or floating-point numbers, and nothing says which of "
            "them is white; save it with 8 or 16 bits a channel",
        )
    elif image.mode == "CMYK" and image.format in ("JPEG", "MPO") and "adobe" not in image.info:
        image = ImageChops.invert(image)  # only Adobe's are inverted, Pillow takes all to be
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(image, mask=image.getchannel("A"))
        return paper
    return image if image.mode == "RGB" else image.convert("RGB")


def _8_bits(image: Image.Image) -> Image.Image:
    """The upper 8 of 12 or 16 bits: Pillow's own way makes every shade above 255 white."""
    tags = image.tag_v2 if image.format == "TIFF" else {}
    (bits,) = tags.get(ExifTags.Base.BitsPerSample, (16,))
    shades = (np.asarray(image) >> (bits - 8)).astype(np.uint8)
    white_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation) == 0
    return Image.fromarray(255 - shades if white_is_zero else shades)


def _unidentified(content: bytes) -> ImageError:
    """What to say of a file that is none of `FORMATS`."""
    allowed = ", ".join(FORMATS)
    try:
        with Image.open(io.BytesIO(content)) as image:
            kind = image.format
    except Exception:  # as in `decode`
        return ImageError(
            "image_undecodable",
            f"the image cannot be decoded: it is no valid {allowed}; "
            f"it begins with {content[:16]!r}",
        )
    return ImageError("image_format", f"the image is a {kind}, expected one of {allowed}")


class ImageProcessor:
    """Decodes images and brings them to one size."""

    def __init__(self, settings: ImageSettings):
        self.size = settings.size
        self.shape = (3, settings.size, settings.size)

    def __call__(self, contents: list[bytes]) -> dict[str, np.ndarray]:
        """Decode image files: the square in the middle of each, resized.

        Returns:
            `pixels`: uint8 [N, 3, H, W], RGB.

        Raises:
            ImageError: a file cannot be used.
        """
        pixels = np.empty((len(contents), 3, self.size, self.size), np.uint8)
        for row, image in zip(pixels, self.rows(contents), strict=True):
            row[:] = image
        return {"pixels": pixels}

    def rows(self, contents: Iterable[bytes]) -> Iterator[np.ndarray]:
        """The same one by one: uint8 [3, H, W]."""
        for content in contents:
            square = self._fit(decode(content, self.size).pixels)  # [H, W, 3]
            yield square.transpose(2, 0, 1)

    def _fit(self, pixels: np.ndarray) -> np.ndarray:
        height, width, _ = pixels.shape
        if height == width == self.size:
            return pixels
        source = ImageData(width, height, PixelType.U8x3, pixels.tobytes())
        target = ImageData(self.size, self.size, PixelType.U8x3)
        Resizer().resize(source, target, MIDDLE)
        return np.frombuffer(target.get_buffer(), np.uint8).reshape(self.size, self.size, 3)
