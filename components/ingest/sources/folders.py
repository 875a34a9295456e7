"""Folders of classes, as torchvision's ImageFolder has them: `<class>/<file>`.

A folder of splits may lie around them: `<split>/<class>/<file>`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from components.common.errors import InputError, listed
from components.data.samples import Split
from components.ingest.records import Record, RowError, Rows
from components.ingest.sources.files import SPLIT_NAMES, media_file, source_path
from components.ingest.sources.source import Source, SourceContext, SourceSettings
from components.modalities.registry import ModalityName

CLASS = "class"  # column of the name of a file's folder


class FoldersSettings(SourceSettings):
    """Options of folders of classes."""

    kind: Literal["folders"] = "folders"
    modality: ModalityName
    """Modality of the files."""
    path: str = "."
    """Folder below ingest.root with one folder per class, or per split."""


def read(settings: FoldersSettings, context: SourceContext) -> Rows:
    """Yield one record per file, sorted by path, with the column `class`.

    Hidden files are left out. Raises `InputError` if there are no folders of classes.
    """
    root = context.root.resolve()
    for split, folder in class_folders(source_path(root, settings.path, "ingest.source.path")):
        for path in sorted(path for path in folder.rglob("*") if not _hidden(path, folder)):
            name = path.relative_to(root).as_posix()
            if path.is_file():
                try:
                    media = {settings.modality: media_file(root, name)}
                    yield Record(name, split, media, {CLASS: folder.name})
                except RowError as error:
                    yield error.at(name)


def class_folders(folder: Path) -> list[tuple[Split | None, Path]]:
    """Return the folders of classes with their splits, sorted; `InputError` if there are none."""
    inside = _folders(folder)
    found: list[tuple[Split | None, Path]]
    if inside and all(path.name.casefold() in SPLIT_NAMES for path in inside):
        found = [(SPLIT_NAMES[s.name.casefold()], path) for s in inside for path in _folders(s)]
    else:
        found = [(None, path) for path in inside]
    if not found:
        names = listed(sorted(path.name for path in folder.iterdir()))
        raise InputError(
            f"ingest.source.path: {folder} has no folders of classes, it holds {names}"
        )
    return found


def _folders(folder: Path) -> list[Path]:
    inside: Iterator[Path] = (path for path in folder.iterdir() if path.is_dir())
    return sorted(path for path in inside if not _hidden(path, folder))


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


SOURCE = Source(FoldersSettings, read)
