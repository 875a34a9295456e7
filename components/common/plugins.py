"""Parts of plug-ins, imported when they are used.

A plug-in is a folder of a package (a modality, a task kind), and a part is a module in that folder
with an agreed name. Package and part are constants where `load_part` is called, so that
`components.common.source_code` knows which files a stage can load.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any


def load_part(package: str, name: str, part: str) -> Any:
    """Import the module `<package>.<name>.<part>`."""
    return import_module(f"{package}.{name}.{part}")


def has_part(package: str, name: str, part: str) -> bool:
    """Return whether there is a module `<package>.<name>.<part>`, for parts that are optional."""
    return find_spec(f"{package}.{name}.{part}") is not None
