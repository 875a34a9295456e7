"""Whether media files can be used: one module a modality."""

from collections.abc import Callable

from components.common.errors import Problem
from components.modalities.audio import inspection as audio
from components.modalities.facts import Facts
from components.modalities.image import inspection as image
from components.modalities.registry import Modality
from components.modalities.text import inspection as text

INSPECT: dict[Modality, Callable[[bytes], Facts | Problem]] = {
    "image": image.inspect,
    "text": text.inspect,
    "audio": audio.inspect,
}
