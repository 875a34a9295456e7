"""Which of the project's own files a module needs, read from its imports."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent


def needed_files(module: str) -> set[Path]:
    """Every project file that importing `module` runs, the module's own included.

    Packages whose `__init__.py` holds a docstring alone are left out: they decide nothing.
    """
    found: set[Path] = set()
    todo = [module]
    while todo:
        path = _path(todo.pop())
        if path is None or path in found:
            continue
        found.add(path)
        todo += _imports(path)
    return {path for path in found if not _is_bare(path)}


def _path(module: str) -> Path | None:
    base = ROOT / module.replace(".", "/")
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path.relative_to(ROOT)
    return None


def _imports(path: Path) -> list[str]:
    """The modules that a file imports, and the packages they lie in, whose code runs first."""
    names: list[str] = []
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    parts = [name.split(".") for name in names]
    return [".".join(part[: end + 1]) for part in parts for end in range(len(part))]


def _is_bare(path: Path) -> bool:
    body = ast.parse((ROOT / path).read_text()).body
    return path.name == "__init__.py" and len(body) <= 1
