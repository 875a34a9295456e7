"""Which files of the project a module runs, read from its imports, and a hash of their content.

It names what code makes: DVC's dependencies of a stage, shards, checkpoints and evaluations change
when a file in the import closure does, and only then.
"""

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from components.common.hashing import content_id, fingerprint

ROOT = Path(__file__).parents[2]
PACKAGES = ("components", "flows")
DOTTED = re.compile(r"\w+(\.\w+)+")
LOADER = "load_part"  # of components/common/plugins.py

Part = tuple[str, str]  # package and part, as `load_part` takes them
Plugins = Mapping[str, Collection[str]]  # package → its plug-ins that can be loaded


@dataclass(frozen=True)
class Source:
    """What one file needs.

    Imports are dotted names, at module level or in a function: modules, `module.name` for `from
    module import name`, and modules that a string names.
    """

    imports: frozenset[str]
    parts: frozenset[Part]  # of plug-ins, loaded by the file's own code
    loaders: Mapping[str, frozenset[Part]]  # function → what it loads for whoever imports it
    beside: tuple[Path, ...]  # files next to it that it names: templates, scripts


def import_closure(*modules: str, plugins: Plugins | None = None) -> list[Path]:
    """Files of the project that running the modules can run or read, relative to its root, sorted.

    Imports for type checkers are left out, as are packages whose `__init__.py` is a docstring.

    Args:
        modules: dotted names; of a package that is run, `package.__main__`.
        plugins: package → the plug-ins of it that can be loaded; by default all of them.
    """
    files: set[Path] = set()
    waiting = [path for module in modules for path in _module_files(module)]
    while waiting:
        path = waiting.pop()
        if path in files:
            continue
        files.add(path)
        if path.suffix == ".py":
            source = read_source(path)
            parts = source.parts.union(*map(_loaded_by, source.imports))
            names = (*source.imports, *_plugin_modules(parts, plugins or {}))
            waiting += source.beside
            waiting += (file for name in names for file in _module_files(name))
    return sorted(path.relative_to(ROOT) for path in files if not _is_bare(path))


def _plugin_modules(parts: Collection[Part], plugins: Plugins) -> Iterator[str]:
    """Names of the modules that are the parts of all plug-ins, or of some where `plugins` says."""
    for package, part in parts:
        known = plugins.get(package)
        for folder in (ROOT / package.replace(".", "/")).iterdir():
            if folder.is_dir() and (known is None or folder.name in known):
                yield f"{package}.{folder.name}.{part}"


@cache
def code_hash(*modules: str) -> str:
    """Fingerprint of the content of every file in the import closure of the modules."""
    files = import_closure(*modules)
    return fingerprint([(str(path), content_id((ROOT / path).read_bytes())) for path in files])


@cache
def read_source(path: Path) -> Source:
    """Parse a file of the project."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, str(path))
    parts, loaders = _loads(tree) if LOADER in text else (frozenset(), {})
    imports = frozenset(_imports(tree))
    beside = (path.with_name(name) for name in sorted(imports))
    return Source(imports, parts, loaders, tuple(p for p in beside if p != path and p.is_file()))


def _loads(tree: ast.Module) -> tuple[frozenset[Part], Mapping[str, frozenset[Part]]]:
    """Return what a file's own code loads, and what each of its functions does."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    others = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    loaders = {node.name: parts for node in functions if (parts := frozenset(_parts(node)))}
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    called = {name.id for name in calls if isinstance(name, ast.Name)} & loaders.keys()
    parts = {part for node in others for part in _parts(node)}
    return frozenset(parts.union(*(loaders[name] for name in called))), loaders


def _imports(tree: ast.Module) -> Iterator[str]:
    waiting: list[ast.AST] = [tree]
    while waiting:
        match node := waiting.pop():
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.Constant(value=str(name)) if DOTTED.fullmatch(name):
                yield name
            case _:
                waiting += ast.iter_child_nodes(node)


def _parts(node: ast.AST) -> Iterator[Part]:
    """Parts loaded by the calls in a node."""
    for child in ast.walk(node):
        match child:
            case ast.Call(
                func=ast.Name(id="load_part"),
                args=[ast.Constant(value=str(package)), _, ast.Constant(value=str(part))],
            ):
                yield package, part


@cache
def _module_files(name: str) -> tuple[Path, ...]:
    """A module's file and the `__init__.py` of every package that it lies in, the outer first."""
    package = name.rpartition(".")[0]
    if name.split(".")[0] not in PACKAGES:
        return ()
    base = ROOT.joinpath(*name.split("."))
    files = filter(Path.is_file, (base / "__init__.py", base.with_suffix(".py")))
    return (*_module_files(package), *files)


def _loaded_by(name: str) -> frozenset[Part]:
    """What the function loads that `module.function` names; nothing if it names none."""
    module, _, function = name.rpartition(".")
    *_, path = [None, *_module_files(module)]
    if path is None or path.stem not in (module.rpartition(".")[2], "__init__"):
        return frozenset()
    return read_source(path).loaders.get(function, frozenset())


def _is_bare(path: Path) -> bool:
    """Whether a file is an `__init__.py` that holds nothing but a docstring."""
    if path.name != "__init__.py":
        return False
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return len(tree.body) == (ast.get_docstring(tree) is not None)
