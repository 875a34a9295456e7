"""Folders of classes, as torchvision's ImageFolder has them: `<class>/<file>`.

A folder of splits may lie around them: `<split>/<class>/<file>`.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from components.common.errors import InputError, listed
from components.data.samples import Split
from components.ingest.records import Record, RowError, Rows
from components.ingest.sources.files import (
    SPLIT_NAMES,
    is_unicode,
    media_file,
    short,
    source_path,
)
from components.ingest.sources.source import Source, SourceContext, SourceSettings
from components.modalities.registry import ModalityName

log = logging.getLogger(__name__)

CLASS = "class"  # column of the name of a file's folder
OF_SYSTEMS = {"__macosx", "desktop.ini", "thumbs.db"}  # files that nobody made, in lower case
BESIDE = "ingest.source.path: %s holds %d files beside the folders, which are not read: %s"


class FoldersSettings(SourceSettings):
    """Options of folders of classes."""

    kind: Literal["folders"] = "folders"
    modality: ModalityName
    """Modality of the files."""
    path: str = "."
    """Folder below ingest.root with one folder per class, or per split."""


@dataclass(frozen=True)
class ClassFolder:
    """A folder whose files have a class, or none if it is a folder of a split."""

    path: Path
    split: Split | None
    label: str | None

    def files(self) -> list[Path]:
        """Return what it holds, sorted, but not its folders and what is hidden.

        Links to folders are not followed, since they may never end: they count as files. Folders
        that a folder of a split holds are others.
        """
        inside = self.path.rglob("*") if self.label else self.path.iterdir()
        return sorted(
            path
            for path in inside
            if not _hidden(path, self.path)
            and not (path.is_dir() and (self.label is None or not path.is_symlink()))
        )


def read(settings: FoldersSettings, context: SourceContext) -> Rows:
    """Yield one record per file, sorted by path, with the column `class`.

    Hidden files are left out. Raises `InputError` if there are no folders of classes.
    """
    root = context.root.resolve()
    top = source_path(root, settings.path, "ingest.source.path")
    if beside := files_beside(top):
        log.warning(BESIDE, top, len(beside), listed([short(path.name) for path in beside]))
    for folder in class_folders(top):
        for path in folder.files():
            name = path.relative_to(root).as_posix()
            try:
                media = {settings.modality: media_file(root, name)}
                yield Record(name, folder.split, media, {CLASS: folder.label})
            except RowError as error:
                yield error.at(name if is_unicode(name) else short(name))


def class_folders(folder: Path) -> list[ClassFolder]:
    """Return the folders of classes, sorted, and those of splits, whose own files have no class.

    Raises:
        InputError: there are no folders of classes, or folders of splits and others.
    """
    inside = _folders(folder)
    splits = [path for path in inside if path.name.casefold() in SPLIT_NAMES]
    if others := [path for path in inside if path not in splits]:
        if around := [path for path in splits if _folders(path)]:
            raise InputError(
                f"ingest.source.path: {folder} holds folders of splits, as {around[0].name}, and "
                f"{_names(others)}. Call those like splits ({', '.join(SPLIT_NAMES)}), or move them"
            )
        return [ClassFolder(path, None, path.name) for path in inside]
    found = [
        ClassFolder(path, SPLIT_NAMES[around.name.casefold()], label)
        for around in splits
        for path, label in ((around, None), *((path, path.name) for path in _folders(around)))
    ]
    if any(part.label for part in found):
        return found
    raise InputError(
        f"ingest.source.path: {folder} has no folders of classes, it holds "
        f"{_names(folder.iterdir())}. Put the files of each class into a folder of its name, or "
        "list files and classes in a table"
    )


def files_beside(folder: Path) -> list[Path]:
    """Return the files that lie beside the folders, which are not read."""
    return sorted(p for p in folder.iterdir() if not p.is_dir() and not _hidden(p, folder))


def _folders(folder: Path) -> list[Path]:
    inside: Iterator[Path] = (path for path in folder.iterdir() if path.is_dir())
    return sorted(path for path in inside if not _hidden(path, folder))


def _hidden(path: Path, folder: Path) -> bool:
    parts = path.relative_to(folder).parts
    return any(part.startswith(".") or part.casefold() in OF_SYSTEMS for part in parts)


def _names(paths: Iterable[Path]) -> str:
    return listed(sorted(path.name for path in paths))


SOURCE = Source(FoldersSettings, read)
