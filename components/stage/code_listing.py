"""A listing of the code that a stage can run, which must not have changed since.

It has a line per file, with the SHA-256 of its content, as `sha256sum --check` reads it.
"""

from collections.abc import Iterable
from pathlib import Path

from components.common.errors import InputError
from components.common.hashing import content_id
from components.common.source_code import ROOT


def listing(files: Iterable[Path]) -> str:
    """Return the listing of files of the project, whose paths are relative to its root."""
    return "".join(f"{content_id((ROOT / path).read_bytes())}  {path}\n" for path in files)


def read_listing(path: Path) -> dict[str, str]:
    """Return the files in a listing, each with its hash."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def check_listing(path: Path) -> None:
    """Raise `InputError` if code has changed since it was listed."""
    for name, digest in read_listing(path).items():
        file = ROOT / name
        if not file.is_file() or content_id(file.read_bytes()) != digest:
            raise InputError(
                f"{name} has changed since this run began, which would make outputs of other code "
                "than DVC records. Run it again: dvc repro"
            )
