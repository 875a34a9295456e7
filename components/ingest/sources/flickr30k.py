"""Flickr30k and Flickr8k: captions from a token file, or from Karpathy's JSON with its splits."""

import codecs
import os
import re
from pathlib import Path
from typing import Any, Literal

from components.data.samples import Split
from components.ingest.records import Media, Record, RowError, Rows
from components.ingest.sources.files import Folder, file, folder
from components.ingest.sources.source import Source, SourceContext, SourceSettings
from components.ingest.sources.streaming import identity, json_items, string

TOKEN = re.compile(r"(([^\t]+)#\d+)\t(.*)", re.DOTALL)
SPLITS: dict[str, Split] = {
    "train": "train",
    "restval": "train",  # the rest of COCO's validation, which Karpathy's split trains on
    "val": "validation",
    "test": "test",
}


class Flickr30kSettings(SourceSettings):
    """Options of Flickr30k."""

    kind: Literal["flickr30k"] = "flickr30k"
    images: str
    """Folder of the images."""
    captions: str
    """A token file, or Karpathy's JSON with its splits."""


def read(settings: Flickr30kSettings, context: SourceContext) -> Rows:
    """Yield one record per caption, in the order of the captions file.

    Each has the columns `image_id` (the image's file name) and `caption_id`: `<file name>#<n>`, or
    COCO's own id of the caption if the JSON is Karpathy's of COCO. A file with the suffix `.json`
    is his JSON; any other is a token file, which has no splits. Raises `InputError` if the file or
    the folder is missing, or the file is not JSON with images.
    """
    images = folder(context.root, settings.images, "ingest.source.images")
    captions = file(context.root, settings.captions, "ingest.source.captions")
    yield from (_read_json if captions.suffix == ".json" else _read_tokens)(captions, images)


def _read_tokens(path: Path, images: Folder) -> Rows:
    with open(path, "rb") as lines:
        for number, content in enumerate(lines, start=1):
            content = content.rstrip(b"\r\n")
            if number == 1:
                content = content.removeprefix(codecs.BOM_UTF8)
            if not content:
                continue
            row_id = f"{path.name}:line {number}"
            try:
                caption_id, image, caption = _token(content)
                row_id = f"{path.name}:{caption_id}"
                media = {"image": images(image), "text": Media(caption, caption.encode)}
                yield Record(row_id, None, media, {"image_id": image, "caption_id": caption_id})
            except RowError as error:
                yield error.at(row_id)


def _token(content: bytes) -> tuple[str, str, str]:
    """Return the caption's id, the image and the caption of a line."""
    try:
        found = TOKEN.fullmatch(content.decode())
    except UnicodeDecodeError as error:
        raise RowError(None, "text_not_utf8", f"the line is not UTF-8: {error}") from error
    if not found:
        detail = f"found {content[:60]!r}, expected <image>#<number><tab><text>"
        raise RowError(None, "row_malformed", detail)
    return found[1], found[2], found[3]


def _read_json(path: Path, images: Folder) -> Rows:
    for place, item in json_items(path, "images"):
        try:
            image, split = string(item, "filename"), _split(item)
            inside = string(item, "filepath") if "filepath" in item else ""  # in COCO's only
            found = images(os.path.join(inside, image))
        except RowError as error:
            captions = [f"{place}.sentences[{number}]" for number in range(len(_sentences(item)))]
            yield from (error.at(row_id) for row_id in captions or [place])
            continue
        for number, sentence in enumerate(sentences := _sentences(item)):
            row_id = f"{place}.sentences[{number}]"
            try:
                caption_id = f"{image}#{number}"
                if "cocoid" in item:
                    caption_id = identity(sentence, "sentid")
                row_id = f"{path.name}:{caption_id}"
                caption = string(sentence, "raw")
                media = {"image": found, "text": Media(caption, caption.encode)}
                yield Record(row_id, split, media, {"image_id": image, "caption_id": caption_id})
            except RowError as error:
                yield error.at(row_id)
        if not sentences:
            columns = {"image_id": image, "caption_id": None}
            yield Record(f"{path.name}:image {image}", split, {"image": found}, columns)


def _split(item: dict) -> Split:
    name = string(item, "split")
    if name not in SPLITS:
        detail = f"found the split {name!r}, expected one of {', '.join(SPLITS)}"
        raise RowError(name, "split_unknown", detail)
    return SPLITS[name]


def _sentences(item: Any) -> list:
    found = item.get("sentences") if isinstance(item, dict) else None
    return found if isinstance(found, list) else []


SOURCE = Source(Flickr30kSettings, read)
