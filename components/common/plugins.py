"""Parts of plug-ins, imported when they are used.

A plug-in is a folder of a package (a modality, a task kind), and a part is a module in that folder
with an agreed name. A registry function per part calls `load_part` with a constant package and
part, so that `components.common.source_code` knows which files a stage can load.
"""

from importlib import import_module
from typing import Any


def load_part(package: str, name: str, part: str) -> Any:
    """Import the module `<package>.<name>.<part>`."""
    return import_module(f"{package}.{name}.{part}")
