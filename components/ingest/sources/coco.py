"""COCO: captions and categories of images, from `captions_*.json` and `instances_*.json`."""

from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from components.data.samples import Split
from components.ingest.records import Media, Record, RowError, Rows
from components.ingest.sources.files import Folder, folder, optional_file, refuse_same_name
from components.ingest.sources.source import Source, SourceContext, SourceSettings
from components.ingest.sources.streaming import Lookup, each_item, identity, json_items, string
from components.stage.settings import Section


class CocoSplit(Section):
    """One split of COCO: the paths of its folder of images and of its annotation files."""

    images: str
    """Folder of the images."""
    captions: str | None = None
    """File captions_*.json."""
    instances: str | None = None
    """File instances_*.json, with the categories."""

    @model_validator(mode="after")
    def _has_annotations(self):
        if self.captions is None and self.instances is None:
            raise ValueError("captions or instances is needed, found neither")
        return self


class CocoSettings(SourceSettings):
    """Options of COCO: the files of each split."""

    kind: Literal["coco"] = "coco"
    splits: Annotated[dict[Split, CocoSplit], Field(min_length=1)]
    """Files per split."""


@dataclass(frozen=True)
class Part:
    """One split: its folder of images and their annotation files."""

    split: Split
    images: Folder
    captions: Path | None
    instances: Path | None

    @property
    def files(self) -> list[Path]:
        """Its annotation files; the ids of its rows start with the name of the first."""
        return [path for path in (self.captions, self.instances) if path]


def read(settings: CocoSettings, context: SourceContext) -> Rows:
    """Yield one record per caption, split by split, in the order of the captions file.

    Images without captions follow, in the order of the images. Each record has the columns
    `categories` (of the objects in the image; None without an instances file, or if it names an
    unknown category for the image), `captions` (all those of the image; None if there is none),
    `image_id` and `caption_id`. Raises `InputError` if a file or folder is missing, is not JSON, or
    lists no images or no categories.
    """
    root, parts = context.root, []
    for split, named in settings.splits.items():
        setting = f"ingest.source.splits.{split}"
        captions = optional_file(root, named.captions, f"{setting}.captions")
        instances = optional_file(root, named.instances, f"{setting}.instances")
        images = folder(root, named.images, f"{setting}.images")
        parts.append(Part(split, images, captions, instances))
    refuse_same_name([part.files[0] for part in parts])
    for part in parts:
        with ExitStack() as stack:
            yield from _Reader(part, stack).rows()


class _Reader:
    """Reads one split; its look-ups by image id are closed with the stack."""

    def __init__(self, part: Part, stack: ExitStack):
        self._part = part
        self._file_names, self._categories, self._captions = (
            stack.enter_context(closing(Lookup())) for _ in range(3)
        )
        self._names: dict[str, str] = {}  # of categories, by id

    def rows(self) -> Rows:
        """Yield what cannot be used of the files, a row per caption, a row per other image."""
        part = self._part
        for path in part.files:
            yield from each_item(path, "images", self._add_image)
        if part.instances:
            yield from each_item(part.instances, "categories", self._add_category)
            yield from each_item(part.instances, "annotations", self._add_instance, "id")
        if part.captions:  # a test split's file lists none
            for _, item in json_items(part.captions, "annotations", required=False):
                with suppress(RowError):  # reported where it becomes a row
                    self._captions.add(identity(item, "image_id"), string(item, "caption"))
            yield from each_item(part.captions, "annotations", self._captioned, "id", False)
        for image_id, file_name in self._file_names.rest():
            row_id = f"{part.files[0].name}:image {image_id}"
            try:
                yield self._record(row_id, image_id, file_name)
            except RowError as error:
                yield error.at(row_id)

    def _add_image(self, _row_id: str, item: Any) -> None:
        """Store an image's file; both files of a split list the same images."""
        image_id, file_name = identity(item, "id"), string(item, "file_name")
        known = self._file_names.get(image_id)
        if not known:
            self._file_names.add(image_id, file_name)
        elif known != [file_name]:
            detail = f"image {image_id} is {file_name!r} here and {known[0]!r} before"
            raise RowError(file_name, "id_duplicate", detail)

    def _add_category(self, _row_id: str, item: Any) -> None:
        self._names[identity(item, "id")] = string(item, "name")

    def _add_instance(self, _row_id: str, item: Any) -> None:
        """Store the category of an instance, which may be a crowd, by its image.

        An unknown category is stored as None: the image's categories are then not fully known.
        """
        image_id, name = identity(item, "image_id"), None
        if not self._file_names.get(image_id):
            raise _unlisted(image_id)
        try:
            category_id = identity(item, "category_id")
            if category_id not in self._names:
                detail = f"category {category_id} is not in the file's list"
                raise RowError(category_id, "category_unlisted", detail)
            name = self._names[category_id]
        finally:
            self._categories.add(image_id, name)

    def _captioned(self, row_id: str, item: Any) -> Record:
        image_id = identity(item, "image_id")
        found = self._file_names.take(image_id)
        if not found:
            raise _unlisted(image_id)
        return self._record(row_id, image_id, found[0], item)

    def _record(self, row_id: str, image_id: str, file_name: str, item: Any = None) -> Record:
        """Return an image with the caption of an item, or without one."""
        text, caption_id = {}, None
        if item is not None:
            caption_id, caption = identity(item, "id"), string(item, "caption")
            text = {"text": Media(caption, caption.encode)}
        media = {"image": self._part.images(file_name), **text}
        seen: set[Any] = set(self._categories.get(image_id)) if self._part.instances else {None}
        columns = {
            "categories": None if None in seen else tuple(sorted(seen)),
            "captions": tuple(self._captions.get(image_id)) or None,
            "image_id": image_id,
            "caption_id": caption_id,
        }
        return Record(row_id, self._part.split, media, columns)


def _unlisted(image_id: str) -> RowError:
    return RowError(image_id, "image_unlisted", f"image {image_id} is not in the file's list")


SOURCE = Source(CocoSettings, read)
