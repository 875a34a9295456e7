"""COCO: the captions and the categories of images, as `captions_*.json` and `instances_*.json`."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.data.tables import Split
from components.ingest.record import BadRow, Media, Record, Rows
from components.ingest.settings import CocoSettings
from components.ingest.sources.streaming import (
    Folder,
    Lookup,
    RowError,
    file,
    folder,
    identity,
    items,
    line_of,
    refuse_same_name,
    string,
)


@dataclass(frozen=True)
class Part:
    """One split: its folder of images and the files about them."""

    split: Split
    images: Folder
    captions: Path | None
    instances: Path | None

    def named_by(self) -> Path:
        """The file that the ids of its rows start with."""
        return self.captions or self.instances


@dataclass(frozen=True)
class Said:
    """What the files of a split say about its images, by their ids.

    Attributes:
        categories: the name of each instance's category; None if it is not known.
        captions: the captions.
    """

    categories: Lookup
    captions: Lookup


def read(settings: CocoSettings, root: Path) -> Rows:
    """One record a caption, split by split, in the order of the captions file.

    After them the images without captions, in the order of the images. Each has the columns
    `categories` (the names of what is seen on the image; None if no instances file was given, or
    one that cannot be trusted about this image), `captions` (all those of the image; None if there
    is none), `image_id` and `caption_id`.

    Raises:
        InputError: a file or folder is missing, is not JSON, or lists no images or no categories.
    """
    parts = []
    for split, named in settings.splits.items():
        setting = f"ingest.coco.splits.{split}"
        paths = {
            key: name and file(root, name, f"{setting}.{key}")
            for key, name in (("captions", named.captions), ("instances", named.instances))
        }
        parts.append(Part(split, folder(root, named.images, f"{setting}.images"), **paths))
    refuse_same_name([part.named_by() for part in parts])
    for part in parts:
        yield from _read_part(part)


def _read_part(part: Part) -> Rows:
    with ExitStack() as stack:
        images, categories, captions = (stack.enter_context(closing(Lookup())) for _ in range(3))
        said = Said(categories, captions)
        for path in filter(None, (part.captions, part.instances)):
            yield from _list_images(path, images)
        if part.instances:
            yield from _find_categories(part.instances, images, categories)
        if part.captions:
            _find_captions(part.captions, captions)
            yield from _read_captions(part, images, said)
        for image_id, file_name in images.rest():
            line = f"{part.named_by().name}:image {image_id}"
            try:
                yield _record(part, line, image_id, file_name, said)
            except RowError as error:
                yield error.at(line)


def _list_images(path: Path, images: Lookup) -> Iterator[BadRow]:
    """Note the file of every image; both files of a split list the same images."""
    for place, item in items(path, "images"):
        try:
            image_id, file_name = identity(item, "id"), string(item, "file_name")
            known = images.get(image_id)
            if not known:
                images.add(image_id, file_name)
            elif known != [file_name]:
                raise RowError(
                    file_name,
                    "id_duplicate",
                    f"image {image_id} is {file_name!r} here and {known[0]!r} before",
                )
        except RowError as error:
            yield error.at(place)


def _find_categories(path: Path, images: Lookup, categories: Lookup) -> Iterator[BadRow]:
    """Note the category's name of every instance, crowds included, by its image.

    An instance of an unknown category is noted as None: what the image shows is not fully known.
    """
    names = {}
    for place, item in items(path, "categories"):
        try:
            names[identity(item, "id")] = string(item, "name")
        except RowError as error:
            yield error.at(place)
    for place, item in items(path, "annotations"):
        try:
            _find_category(item, names, images, categories)
        except RowError as error:
            yield error.at(line_of(path, item, "id", place))


def _find_category(item: Any, names: dict[str, str], images: Lookup, categories: Lookup) -> None:
    image_id = identity(item, "image_id")
    if not images.get(image_id):
        raise _unlisted(image_id)
    name = None
    try:
        category_id = identity(item, "category_id")
        if category_id not in names:
            raise RowError(
                category_id,
                "category_unlisted",
                f"category {category_id} is not in the file's list",
            )
        name = names[category_id]
    finally:
        categories.add(image_id, name)


def _find_captions(path: Path, captions: Lookup) -> None:
    """Note every caption by its image; what is wrong with one is told where it becomes a row."""
    for _, item in items(path, "annotations", required=False):
        with suppress(RowError):
            captions.add(identity(item, "image_id"), string(item, "caption"))


def _read_captions(part: Part, images: Lookup, said: Said) -> Rows:
    for place, item in items(part.captions, "annotations", required=False):  # a test split's
        line = line_of(part.captions, item, "id", place)
        try:
            yield _captioned(part, line, item, images, said)
        except RowError as error:
            yield error.at(line)


def _captioned(part: Part, line: str, item: Any, images: Lookup, said: Said) -> Record:
    image_id = identity(item, "image_id")
    found = images.take(image_id)
    if not found:
        raise _unlisted(image_id)
    caption_id, caption = identity(item, "id"), string(item, "caption")
    return _record(part, line, image_id, found[0], said, caption_id, caption)


def _record(
    part: Part,
    line: str,
    image_id: str,
    file_name: str,
    said: Said,
    caption_id: str | None = None,
    caption: str | None = None,
) -> Record:
    media = {"image": part.images.media(file_name)}
    if caption is not None:
        media["text"] = Media(caption, caption.encode)
    seen = set(said.categories.get(image_id)) if part.instances else {None}
    columns = {
        "categories": None if None in seen else tuple(sorted(seen)),
        "captions": tuple(said.captions.get(image_id)) or None,
        "image_id": image_id,
        "caption_id": caption_id,
    }
    return Record(line, part.split, media, columns)


def _unlisted(image_id: str) -> RowError:
    return RowError(image_id, "image_unlisted", f"image {image_id} is not in the file's list")
