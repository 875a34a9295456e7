"""The registry of sources. Adding one is one module and one line here."""

from typing import Annotated

from components.ingest.sources import (
    coco,
    demo,
    digits,
    flickr30k,
    folders,
    huggingface,
    table,
    vqa,
)
from components.ingest.sources.source import Source, SourceSettings
from components.stage.settings import OneOf

SOURCES: dict[str, Source] = {
    "demo": demo.SOURCE,
    "digits": digits.SOURCE,
    "table": table.SOURCE,
    "folders": folders.SOURCE,
    "coco": coco.SOURCE,
    "flickr30k": flickr30k.SOURCE,
    "vqa": vqa.SOURCE,
    "huggingface": huggingface.SOURCE,
}

OneSource = Annotated[
    SourceSettings,
    OneOf({kind: source.settings for kind, source in SOURCES.items()}, default="table"),
]
