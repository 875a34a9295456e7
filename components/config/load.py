"""Read `params.yaml`, or say what is wrong with it."""

from pathlib import Path

import yaml
from pydantic import ValidationError

from components.common.errors import InputError, nearest
from components.config.settings import Settings


class _Loader(yaml.SafeLoader):
    """YAML in which no mapping names a key twice; PyYAML itself keeps the last one."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        first = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            known = first.setdefault((key.tag, key.value), key)
            if known is not key:
                line, before = key.start_mark.line + 1, known.start_mark.line + 1
                raise InputError(
                    f"{self.name}, line {line}: the key {key.value!r} is in line {before} already. "
                    "Keep one of them"
                )
        return node


def load_settings(path: Path) -> Settings:
    """Read and check a parameter file.

    Raises:
        InputError: the file is missing, is not YAML, or holds unknown keys or impossible values;
            every one of them is named, each with the nearest valid one.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing. Name another file with --params") from error
    return check_settings(text, path)


def check_settings(text: bytes, path: Path) -> Settings:
    """Check what a parameter file holds, or will hold.

    Raises:
        InputError: as `load_settings` does.
    """
    loader = _Loader(text)
    loader.name = str(path)  # in its messages
    try:
        content = loader.get_single_data()
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {error}") from error
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(f"  {_explain(problem)}" for problem in error.errors())
        raise InputError(f"{path} cannot be used:\n{problems}") from error


def _explain(problem: dict) -> str:
    """One line for one of Pydantic's errors: key, what is wrong, what was found, what is near."""
    location = [part for part in problem["loc"] if part != "[key]"]
    key = ".".join(map(str, location)) or "(the whole file)"
    match problem["type"]:
        case "extra_forbidden":
            valid = _valid_keys(location[:-1])
            return f"{key}: unknown key. {nearest(str(location[-1]), valid)}"
        case "missing":
            return f"{key}: the key is missing"
        case "literal_error":
            valid = [option for option in problem["ctx"]["expected"].split("'")[1::2]]
            return f"{key}: found {problem['input']!r}. {nearest(str(problem['input']), valid)}"
        case "value_error":
            return f"{key}: {problem['ctx']['error']}"
        case _:
            return f"{key}: {problem['msg'].lower()}, found {problem['input']!r}"


def _valid_keys(location: list) -> list[str]:
    """The keys that the section at `location` may have."""
    node = schema = Settings.model_json_schema(by_alias=True)
    for part in location:
        node = _resolve(node, schema)
        if isinstance(part, int):
            node = node["items"]
        else:
            node = node.get("properties", {}).get(part, node.get("additionalProperties"))
    return list(_resolve(node, schema)["properties"])


def _resolve(node: dict, schema: dict) -> dict:
    node = node["anyOf"][0] if "anyOf" in node else node  # a section or null
    return schema["$defs"][node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node
