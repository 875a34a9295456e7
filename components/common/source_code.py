"""Which files of the project a module runs, read from its imports, and a hash of their content.

It names what code makes: DVC's dependencies of a stage, shards, checkpoints and evaluations change
when a file in the import closure does, and only then.
"""

import ast
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from components.common.hashing import content_id, fingerprint

ROOT = Path(__file__).parents[2]
PACKAGES = ("components", "flows")

DOTTED = re.compile(r"\w+(\.\w+)+")

Part = tuple[str, str]  # package and part, as `load_part` takes them
Plugins = Mapping[str, Collection[str]]  # package → its plug-ins that can be loaded


@dataclass(frozen=True)
class Source:
    """What one file needs.

    Attributes:
        imports: names that it imports at module level or in a function, dotted: modules, and
            `module.name` for `from module import name`; and modules that a string names.
        parts: of plug-ins, loaded by the file's own code.
        loaders: function → the parts that it loads for whoever imports it.
        beside: files next to it that it names: templates, scripts.
    """

    imports: frozenset[str]
    parts: frozenset[Part]
    loaders: Mapping[str, frozenset[Part]]
    beside: tuple[Path, ...]


@dataclass
class _Closure:
    """Files found so far; `plugins` limits which plug-ins are loaded, where a package is named."""

    plugins: Plugins
    files: set[Path] = field(default_factory=set)

    def add_module(self, name: str) -> None:
        for path in _module_files(name):
            self.add_file(path)

    def add_file(self, path: Path) -> None:
        if path in self.files:
            return
        self.files.add(path)
        if path.suffix != ".py":
            return
        source = read_source(path)
        for name in source.imports:
            self.add_module(name)
            self.add_parts(_loaded_by(name))
        self.add_parts(source.parts)
        for other in source.beside:
            self.add_file(other)

    def add_parts(self, parts: Collection[Part]) -> None:
        for package, part in parts:
            known = self.plugins.get(package)
            for folder in sorted((ROOT / package.replace(".", "/")).iterdir()):
                if folder.is_dir() and (known is None or folder.name in known):
                    self.add_module(f"{package}.{folder.name}.{part}")


def import_closure(*modules: str, plugins: Plugins | None = None) -> list[Path]:
    """Files of the project that running the modules can run or read, relative to its root, sorted.

    Imports for type checkers are left out, as are packages whose `__init__.py` is a docstring.

    Args:
        modules: dotted names; of a package that is run, `package.__main__`.
        plugins: package → the plug-ins of it that can be loaded; by default all of them.
    """
    closure = _Closure(plugins or {})
    for module in modules:
        closure.add_module(module)
    return sorted(path.relative_to(ROOT) for path in closure.files if not _is_bare(path))


@cache
def code_hash(*modules: str) -> str:
    """Fingerprint of the content of every file in the import closure of the modules."""
    files = import_closure(*modules)
    return fingerprint([(str(path), content_id((ROOT / path).read_bytes())) for path in files])


@cache
def read_source(path: Path) -> Source:
    """Parse a file of the project."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    others = [node for node in tree.body if not isinstance(node, ast.FunctionDef)]
    loaders = {node.name: parts for node in functions if (parts := frozenset(_parts(node)))}
    called = {name for name in _called(tree) if name in loaders}
    parts = {part for node in others for part in _parts(node)}
    return Source(
        imports=frozenset(_imports(tree)),
        parts=frozenset(parts.union(*(loaders[name] for name in called))),
        loaders=loaders,
        beside=tuple(_beside(tree, path)),
    )


def _imports(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        match child:
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
                yield from _imports(child)


def _parts(node: ast.AST) -> Iterator[Part]:
    """Parts loaded by the calls in a node."""
    for child in ast.walk(node):
        match child:
            case ast.Call(
                func=ast.Name(id="load_part"),
                args=[ast.Constant(value=str(package)), _, ast.Constant(value=str(part))],
            ):
                yield package, part


def _called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def _beside(tree: ast.AST, path: Path) -> Iterator[Path]:
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(word)) if DOTTED.fullmatch(word):
                other = path.with_name(word)
                if other != path and other.is_file():
                    yield other


def _module_files(name: str) -> Iterator[Path]:
    """A module's file and the `__init__.py` of every package that it lies in."""
    parts = name.split(".")
    if parts[0] not in PACKAGES:
        return
    for end in range(1, len(parts) + 1):
        base = ROOT.joinpath(*parts[:end])
        for path in (base / "__init__.py", base.with_suffix(".py")):
            if path.is_file():
                yield path


def _loaded_by(name: str) -> Collection[Part]:
    """What the function loads that `module.function` names; nothing if it names none."""
    module, _, function = name.rpartition(".")
    *_, path = [None, *_module_files(module)]
    if path is None or path.stem not in (module.rpartition(".")[2], "__init__"):
        return ()
    return read_source(path).loaders.get(function, ())


@cache
def _is_bare(path: Path) -> bool:
    """Whether a file is an `__init__.py` that holds nothing but a docstring."""
    if path.name != "__init__.py":
        return False
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return len(tree.body) == (ast.get_docstring(tree) is not None)
