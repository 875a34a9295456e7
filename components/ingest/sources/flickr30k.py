"""Flickr30k and Flickr8k: captions from a token file, or from Karpathy's JSON with its splits."""

import codecs
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.data.tables import Split
from components.ingest.record import BadRow, Media, Record, Rows
from components.ingest.settings import Flickr30kSettings
from components.ingest.sources.streaming import (
    Folder,
    RowError,
    file,
    folder,
    identity,
    items,
    string,
)

TOKEN = re.compile(r"(([^\t]+)#\d+)\t(.*)", re.DOTALL)
SPLITS: dict[str, Split] = {
    "train": "train",
    "restval": "train",  # the rest of COCO's validation, which Karpathy's split trains on
    "val": "validation",
    "test": "test",
}


def read(settings: Flickr30kSettings, root: Path) -> Rows:
    """One record a caption, in the order of the captions file.

    Each has the columns `image_id` (the image's file name) and `caption_id`: `<file name>#<n>`, or
    COCO's own id of the caption if the JSON is Karpathy's of COCO. The file is his JSON if its
    suffix is `.json`, else a token file, which says nothing about splits.

    Raises:
        InputError: the file or the folder is missing, or the file is not JSON with images.
    """
    images = folder(root, settings.images, "ingest.flickr30k.images")
    captions = file(root, settings.captions, "ingest.flickr30k.captions")
    yield from (_read_json if captions.suffix == ".json" else _read_tokens)(captions, images)


def _read_tokens(path: Path, images: Folder) -> Rows:
    with open(path, "rb") as lines:
        for number, content in enumerate(lines, start=1):
            content = content.rstrip(b"\r\n")
            if number == 1:
                content = content.removeprefix(codecs.BOM_UTF8)
            if not content:
                continue
            line = f"{path.name}:line {number}"
            try:
                caption_id, image, caption = _token(content)
                line = f"{path.name}:{caption_id}"
                yield _record(line, None, images.media(image), image, caption_id, caption)
            except RowError as error:
                yield error.at(line)


def _token(content: bytes) -> tuple[str, str, str]:
    """The caption's id, the image and the caption of a line."""
    try:
        found = TOKEN.fullmatch(content.decode())
    except UnicodeDecodeError as error:
        raise RowError(None, "text_not_utf8", f"the line is not UTF-8: {error}") from error
    if not found:
        raise RowError(
            None, "row_malformed", f"found {content[:60]!r}, expected <image>#<number><tab><text>"
        )
    return found.groups()


def _read_json(path: Path, images: Folder) -> Rows:
    for place, item in items(path, "images"):
        try:
            image, split = string(item, "filename"), _split(item)
            inside = string(item, "filepath") if "filepath" in item else ""  # COCO's alone has it
            found = images.media(os.path.join(inside, image))
        except RowError as error:
            yield from _refuse(item, place, error)
            continue
        for number, sentence in enumerate(sentences := _sentences(item)):
            line = f"{place}.sentences[{number}]"
            try:
                caption_id = f"{image}#{number}"
                if "cocoid" in item:
                    caption_id = identity(sentence, "sentid")
                line = f"{path.name}:{caption_id}"
                yield _record(line, split, found, image, caption_id, string(sentence, "raw"))
            except RowError as error:
                yield error.at(line)
        if not sentences:
            yield _record(f"{path.name}:image {image}", split, found, image)


def _split(item: dict) -> Split:
    name = string(item, "split")
    if name not in SPLITS:
        raise RowError(
            name, "split_unknown", f"found the split {name!r}, expected one of {', '.join(SPLITS)}"
        )
    return SPLITS[name]


def _sentences(item: Any) -> list:
    found = item.get("sentences") if isinstance(item, dict) else None
    return found if isinstance(found, list) else []


def _refuse(item: Any, place: str, error: RowError) -> Iterator[BadRow]:
    """A bad row for each caption of an image that cannot be used, or one for the image."""
    captions = range(len(_sentences(item)))
    for line in [f"{place}.sentences[{number}]" for number in captions] or [place]:
        yield error.at(line)


def _record(
    line: str,
    split: Split | None,
    image: Media,
    image_id: str,
    caption_id: str | None = None,
    caption: str | None = None,
) -> Record:
    media = {"image": image}
    if caption is not None:
        media["text"] = Media(caption, caption.encode)
    return Record(line, split, media, {"image_id": image_id, "caption_id": caption_id})
