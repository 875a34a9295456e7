"""Settings: what sections of params.yaml are made of, and how they are read and checked.

Each section is a class that lies beside what it configures. A stage declares the sections that it
reads as a subclass of `Settings`; nothing else of the file is looked at, so that an edit elsewhere
neither changes nor re-runs the stage.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic_core import CoreSchema, core_schema
from yaml.composer import Composer

from components.common.errors import InputError, explained, nearest

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
DropoutRate = Annotated[float, Field(ge=0, lt=1)]
Processes = Annotated[int, Field(ge=1, le=256)]

MAX_VALUES = 100_000  # of a file, where an anchor counts each time that it is referred to
# PyYAML's constructors raise any of these for a value that its tag does not fit.
NOT_YAML = (yaml.YAMLError, AttributeError, KeyError, RecursionError, ValueError)


def by_default(value: Any) -> Any:
    """Return a default that is spelt as in params.yaml, such as the kind of a choice."""
    return Field(default=value, validate_default=True)


class Section(BaseModel):
    """A mapping in params.yaml; keys that it does not name are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Settings(Section):
    """Sections of params.yaml that a stage reads, or keys of such a section; others are ignored."""

    model_config = ConfigDict(extra="ignore")


class SeedSettings(Settings):
    """Settings of a stage that draws random numbers."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of data splits and of training."""


class TorchSettings(SeedSettings):
    """Settings of a stage that computes with torch."""

    threads: Processes = 1
    """Threads of torch in a stage; the bytes of trained weights depend on it."""


class WorkerSettings(Settings):
    """Settings of a stage that shares its work among processes."""

    workers: Processes = 2
    """Processes that work without torch side by side; the bytes do not depend on it."""


SectionT = TypeVar("SectionT", bound=Section)


def with_fields(
    base: type[SectionT], name: str, fields: Mapping[str, type[Section]]
) -> type[SectionT]:
    """Return a subclass of `base`, called `name`, with further sections and their defaults."""
    sections: Mapping[str, Any] = {key: (section, section()) for key, section in fields.items()}
    return create_model(name, __base__=base, **sections)


def part_of(section: type[Section], keys: Iterable[str]) -> type[Settings]:
    """Return settings that are some keys of a section."""
    fields = section.model_fields
    read: Mapping[str, Any] = {key: (fields[key].annotation, fields[key]) for key in keys}
    return create_model(section.__name__, __base__=Settings, **read)


def matching(pattern: str, expected: str) -> AfterValidator:
    """Return a validator of words that match the whole pattern; errors say what was expected."""

    def check(word: str) -> str:
        if not re.fullmatch(pattern, word):
            raise ValueError(f"found {word!r}, expected {expected}")
        return word

    return AfterValidator(check)


class OneOf:
    """Annotation of a choice: the word that names it, or a mapping with `kind` and its options.

    Args:
        options: kind → the section of its options, which has a field `kind`.
        default: the kind of a mapping that names none.
    """

    def __init__(self, options: Mapping[str, type[Section]], default: str | None = None):
        self.options, self.default = options, default

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        choices = {_tag(kind): handler.generate_schema(o) for kind, o in self.options.items()}
        tagged = core_schema.tagged_union_schema(choices, discriminator=_kind_tag)
        return core_schema.no_info_before_validator_function(self._spelt_out, tagged)

    def _spelt_out(self, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        if not isinstance(value, dict | Section):
            expected = f"{', '.join(self.options)}, or a mapping with kind and options"
            raise ValueError(f"found {value!r}, expected {expected}")
        if self.default is not None and isinstance(value, dict):
            return {"kind": self.default, **value}
        return value


class _NamedText(StringIO):
    def __init__(self, text: str, name: str):
        super().__init__(text)
        self.name = name  # for messages


class _Loader(Composer, yaml.CSafeLoader):
    """YAML in which no mapping has a key twice; PyYAML itself keeps the last one.

    Its parser is libyaml, which takes a fifth of the time of PyYAML's own.
    """

    def __init__(self, text: str, name: str):
        yaml.CSafeLoader.__init__(self, _NamedText(text, name))
        Composer.__init__(self)

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        first: dict[tuple[str, Any], yaml.ScalarNode] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            known = first.setdefault((key.tag, key.value), key)
            if known is not key:
                mark, before = key.start_mark, known.start_mark.line + 1
                raise InputError(
                    f"{mark.name}, line {mark.line + 1}: the key {key.value!r} is in line {before} "
                    "already. Keep one of them"
                )
        return node


def load_settings(path: Path, sections: type[SectionT]) -> SectionT:
    """Read and check the part of a parameter file that `sections` declares.

    Raise `InputError` if the file cannot be read, is not YAML, or holds unknown keys or impossible
    values, each of which is named with the nearest valid one.
    """
    try:
        with explained():
            content = parse_yaml(path.read_bytes(), path)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing. Name another file with --params") from error
    raise_problems(path, list(problems(content, sections)))
    return sections.model_validate(content)


def raise_problems(path: Path, found: Sequence[str]) -> None:
    """Raise `InputError` with everything that was found wrong in a parameter file, if anything."""
    if found:
        lines = "\n".join(f"  {line}" for line in found)
        raise InputError(f"{path} cannot be used:\n{lines}")


def parse_yaml(text: bytes, path: Path) -> Any:
    """Parse a file, of which nothing means no key; raise as `load_yaml` does.

    DVC, which reads the same file, knows no encoding but UTF-8.
    """
    try:
        content = load_yaml(text.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8: {error.reason} in byte {error.start}. Save it as UTF-8"
        ) from error
    return {} if content is None else content


def load_yaml(text: str, name: str) -> Any:
    """Parse YAML, None if it holds nothing; `name` says in messages what it is.

    Raise `InputError` if it is not YAML, has a key twice in a mapping, or refers to itself or so
    often to its own parts that it stands for more than `MAX_VALUES` values.
    """
    try:
        loader = _Loader(text, name)
        node = loader.get_single_node()
        if _size(node, {}) > MAX_VALUES:
            raise InputError(
                f"{name} refers to itself, or stands for more than {MAX_VALUES:,} values. Spell "
                "out what its anchors (&) stand for, or remove them"
            )
        return None if node is None else loader.construct_document(node)
    except NOT_YAML as error:
        raise InputError(f"{name} is not YAML: {error}") from error


def _size(node: yaml.Node | None, known: dict[int, float]) -> float:
    """Return how many values a node stands for, infinitely many if it is inside itself."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = math.inf  # until the parts are counted
        parts = (
            part for item in node.value for part in (item if isinstance(item, tuple) else (item,))
        )
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def problems(content: Any, sections: type[Section]) -> Iterator[str]:
    """Yield a line for everything that is wrong with parsed settings."""
    try:
        sections.model_validate(content)
    except ValidationError as error:
        found = error.errors()
        yield from (_explain(e, sections) for e in found if not _counts_valid_items(e, found))


def keys_of(sections: type[Section], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of params.yaml that settings read, as `seed` or `ingest.slices`.

    Of a section that is read as a whole the key alone is given.
    """
    for name, field in sections.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            yield from keys_of(inner, f"{key}.")
        else:
            yield key


def _counts_valid_items(problem: Any, others: Sequence[Any]) -> bool:
    """Return whether a list is too short for Pydantic only because an item of it is wrong."""
    location = problem["loc"]
    inside = (other["loc"][: len(location)] == location for other in others if other is not problem)
    return problem["type"] == "too_short" and any(inside)


def _explain(problem: Any, sections: type[Section]) -> str:
    """Return one line for an error of Pydantic's: key, fault, what was found, what is near."""
    location = [part for part in problem["loc"] if not str(part).startswith("[")]
    key = ".".join(map(str, location)) or "the file"
    found, context = problem["input"], problem.get("ctx", {})
    match problem["type"]:
        case "extra_forbidden":
            valid = _valid_keys(problem["loc"][:-1], sections)
            return f"{key}: unknown key. {nearest(str(location[-1]), valid)}"
        case "missing":
            return f"{key}: the key is missing"
        case "union_tag_not_found":
            return f"{key}.kind: the key is missing"
        case "model_type" | "dict_type":
            return f"{key}: found {found!r}, expected a mapping"
        case "literal_error":
            return f"{key}: found {found!r}. {nearest(str(found), _quoted(context['expected']))}"
        case "union_tag_invalid":
            valid = [word[1:-1] for word in _quoted(context["expected_tags"])]
            kind = context["tag"][1:-1]
            return f"{key}: found {kind!r}. {nearest(kind, valid)}"
        case "value_error":
            return f"{key}: {context['error']}" if location else str(context["error"])
        case _:
            message = problem["msg"]
            return f"{key}: {message[0].lower()}{message[1:]}, found {found!r}"


def _quoted(words: str) -> list[str]:
    return words.split("'")[1::2]


def _tag(kind: str) -> str:
    """The part of an error's location that says which kind of a choice was checked."""
    return f"[{kind}]"


def _kind_tag(value: Any) -> str | None:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return None if kind is None else _tag(str(kind))


def _valid_keys(location: tuple, sections: type[Section]) -> list[str]:
    """Return the keys that the section at `location` may have."""
    node = schema = _json_schema(sections)
    for part in location:
        node = _resolve(node, schema)
        if isinstance(part, int):
            node = node["items"]
        elif part.startswith("["):
            options = (_resolve(option, schema) for option in node["oneOf"])
            node = next(o for o in options if _tag(o["properties"]["kind"]["const"]) == part)
        else:
            node = node.get("properties", {}).get(part, node.get("additionalProperties"))
    return list(_resolve(node, schema)["properties"])


@cache
def _json_schema(sections: type[Section]) -> dict:
    return sections.model_json_schema(by_alias=True)  # takes a tenth of a second


def _resolve(node: dict, schema: dict) -> dict:
    node = node["anyOf"][0] if "anyOf" in node else node  # a section or null
    return schema["$defs"][node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node
