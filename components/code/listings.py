"""Which code each stage can run, in listings: a line per file, with the SHA-256 of its content."""

from pathlib import Path

from components.common.hashing import content_id
from components.common.source_code import ROOT, import_closure


def code_of(stage: str) -> list[Path]:
    """Return the files of the project that a stage can run or read, from its root, sorted.

    Of `preprocess_image`, those of the package `preprocess` with no modality but `image`.
    """
    package, _, modality = stage.partition("_")
    plugins = {"components.modalities": [modality]} if modality else {}
    return import_closure(f"components.{package}.__main__", plugins=plugins)


def listing(stage: str) -> str:
    """Return the listing of a stage's code, as `sha256sum --check` reads it."""
    return "".join(f"{content_id((ROOT / path).read_bytes())}  {path}\n" for path in code_of(stage))
