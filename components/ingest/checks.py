"""Whether a media file can be decoded at all."""

import io

import numpy as np
import soundfile
from PIL import Image

from components.config.settings import Modality


def problem(modality: Modality, content: bytes) -> tuple[str, str] | None:
    """Why an asset cannot be used, as (reason code, sentence); None if it can be."""
    match modality:
        case "image":
            return _image_problem(content)
        case "text":
            return _text_problem(content)
        case "audio":
            return _audio_problem(content)


def _image_problem(content: bytes) -> tuple[str, str] | None:
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return "image_undecodable", f"the image cannot be decoded: {error}"
    return None


def _text_problem(content: bytes) -> tuple[str, str] | None:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        return "text_not_utf8", f"the text is not UTF-8: {error}"
    return None if text.strip() else ("text_empty", "the text is empty")


def _audio_problem(content: bytes) -> tuple[str, str] | None:
    try:
        samples, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    except (soundfile.LibsndfileError, RuntimeError) as error:
        return "audio_undecodable", f"the sound cannot be decoded: {error}"
    if not len(samples):
        return "audio_empty", "the sound has no samples"
    if not np.isfinite(samples).all():
        return "audio_not_finite", "the sound holds samples that are infinite or not a number"
    return None
