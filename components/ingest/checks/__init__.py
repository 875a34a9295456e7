"""Whether media files can be used: one module a modality."""

from collections.abc import Callable

from components.config.section import Modality
from components.ingest.checks import audio, image, text
from components.ingest.checks.facts import Facts
from components.store.errors import Problem

INSPECT: dict[Modality, Callable[[bytes], Facts | Problem]] = {
    "image": image.inspect,
    "text": text.inspect,
    "audio": audio.inspect,
}
