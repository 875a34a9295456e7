"""Which code each stage can run."""

from pathlib import Path

from components.common.source_code import import_closure


def code_of(stage: str) -> list[Path]:
    """Return the files of the project that a stage can run or read, from its root, sorted.

    Of `preprocess_image`, those of the package `preprocess` with no modality but `image`.
    """
    package, _, modality = stage.partition("_")
    plugins = {"components.modalities": [modality]} if modality else {}
    return import_closure(f"components.{package}.__main__", plugins=plugins)
