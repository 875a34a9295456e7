"""Image files to uint8 arrays. Without torch: ingest decodes with it too, in every process."""

import io
import logging
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageChops, UnidentifiedImageError
from PIL.Image import Resampling, Transpose

from components.config.settings import ImageSettings

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
        image: its first frame or page, upright, RGB, over white where it is transparent.
        width: of the file, upright, in pixels; `image` can be smaller.
        height: likewise.
        format: one of `FORMATS`, or MPO: a JPEG that holds further pictures.
        mode: Pillow's name for its kind of pixels, as L, P, RGBA, CMYK.
    """

    image: Image.Image
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
        return _decode(content, least)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("image_too_large", f"the image is too large: {error}") from error
    except UnidentifiedImageError as error:
        raise _unidentified(content) from error
    except Exception as error:  # Pillow does not say what a damaged file can raise
        raise ImageError("image_undecodable", f"the image cannot be decoded: {error}") from error


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
    return Picture(upright, width, height, image.format, mode)


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
    if image.mode.startswith("I;16"):  # Pillow's own way makes every shade above 255 white
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
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


def _unidentified(content: bytes) -> ImageError:
    """What to say of a file that is none of `FORMATS`."""
    allowed = ", ".join(FORMATS)
    try:
        with Image.open(io.BytesIO(content)) as image:
            kind = image.format
    except Exception:  # as in `decode`
        return ImageError(
            "image_undecodable",
            f"the image cannot be decoded: it is no sound {allowed}; "
            f"it begins with {content[:16]!r}",
        )
    return ImageError("image_format", f"the image is a {kind}, expected one of {allowed}")


class ImageProcessor:
    """Decodes images and brings them to one size."""

    def __init__(self, settings: ImageSettings):
        self.size = settings.size

    def __call__(self, contents: list[bytes]) -> dict[str, np.ndarray]:
        """Decode image files: the square in the middle of each, resized.

        Returns:
            `pixels`: uint8 [N, 3, H, W], RGB.

        Raises:
            ImageError: a file cannot be used.
        """
        pixels = np.empty((len(contents), 3, self.size, self.size), np.uint8)
        for row, content in enumerate(contents):
            image = self._fit(decode(content, self.size).image)
            pixels[row] = np.asarray(image).transpose(2, 0, 1)
        return {"pixels": pixels}

    def _fit(self, image: Image.Image) -> Image.Image:
        if image.size == (self.size, self.size):
            return image
        side = min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        middle = (left, top, left + side, top + side)
        return image.resize((self.size, self.size), Resampling.BILINEAR, middle)
