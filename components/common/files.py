"""Files that appear whole or not at all."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.common.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on a clean exit flush it to disk and rename it.

    Readers see the old file or the new one, never a part of one, even after SIGKILL.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, content: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode())


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON; raise `InputError` if the file is missing or is not JSON."""
    with readable(path, "JSON"):
        return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Raise `InputError` if the body, which reads a stage's output, finds none of that kind."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing. Run the stage that makes it: dvc repro") from error
    except (ValueError, OSError) as error:
        if getattr(error, "errno", None) is not None:  # of the operating system
            raise
        why = " ".join(str(error).split()).rstrip(".")  # some are of several lines
        raise InputError(f"{path} is not {kind}: {why}. Delete it and run: dvc repro") from error
