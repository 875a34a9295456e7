"""Contract of a source of data."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from components.common.errors import InputError
from components.ingest.records import Rows
from components.ingest.splits import SplitSettings
from components.stage.settings import Section


@dataclass(frozen=True)
class SourceContext:
    """What a source may need besides its own settings."""

    root: Path  # the folder `ingest.root`
    splits: SplitSettings
    seed: int  # of all choices by hash


class SourceSettings(Section):
    """Options of a source."""

    kind: str


@dataclass(frozen=True)
class Source:
    """A kind of data that `ingest.source` can name.

    `read` gives every row, and raises `InputError` for what concerns the source as a whole.
    """

    settings: type[SourceSettings]
    read: Callable[[Any, SourceContext], Rows]


def import_demo(module: str) -> ModuleType:
    """Import a module of the optional extra `demo`; raise `InputError` if it is not installed."""
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(
            f"ingest.source: this source needs the extra 'demo', which is not installed ({error}). "
            "Install it: pip install -e '.[demo]'"
        ) from error
