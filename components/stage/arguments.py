"""The command line of a stage, as a typed record.

A stage declares a frozen dataclass that derives from `Arguments`; each field is an option of its
name, made by one of the functions below, which also say what the option is to the stage.
"""

from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from components.common import command_line
from components.common.errors import InputError

Role = Literal["input", "output", "state", "option"]


def input_path(description: str, optional: bool = False) -> Any:
    """A file or folder that decides the result and must exist; None if it is optional."""
    metadata = {"role": "input", "help": description}
    return field(default=None if optional else MISSING, metadata=metadata)


def output_path(description: str) -> Any:
    """A file or folder that the stage writes."""
    return field(metadata={"role": "output", "help": description})


def state_path(description: str) -> Any:
    """A file or folder that decides no result, such as a checkpoint."""
    return field(metadata={"role": "state", "help": description})


def option(description: str, default: Any = MISSING) -> Any:
    """A word, several or a path, which may be left out if it has a default."""
    return field(default=default, metadata={"role": "option", "help": description})


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Options that every stage has."""

    params: Path = option("settings", Path("params.yaml"))
    code: Path | None = input_path("list of the code, which must not have changed", optional=True)


ArgumentsT = TypeVar("ArgumentsT", bound=Arguments)


def parse_arguments(
    record: type[ArgumentsT], description: str | None, words: list[str] | None = None
) -> ArgumentsT:
    """Read a command line, by default that of the process; `description` is for `--help`."""
    parser = command_line.parser(description)
    types = get_type_hints(record)
    for item in fields(record):
        kind = types[item.name]
        choices = get_args(kind) if get_origin(kind) is Literal else None
        parser.add_argument(
            option_name(item),
            type=str if kind in (str, tuple[str, ...]) or choices else Path,
            nargs="+" if kind == tuple[str, ...] else None,
            choices=choices,
            required=item.default is MISSING,
            default=None if item.default is MISSING else item.default,
            help=item.metadata["help"],
        )
    values = vars(parser.parse_args(words))
    for name, value in values.items():
        values[name] = tuple(value) if isinstance(value, list) else value
    return record(**values)


def option_name(item: Field) -> str:
    """Return the option of a field: `--data-report` for `data_report`."""
    return f"--{item.name.replace('_', '-')}"


def with_role(record: type[Arguments], role: Role) -> list[str]:
    """Return the names of the fields that have a role."""
    return [item.name for item in fields(record) if item.metadata["role"] == role]


def check_inputs(arguments: Arguments) -> None:
    """Raise `InputError` unless every input exists."""
    for item in fields(arguments):
        path = getattr(arguments, item.name)
        if item.metadata["role"] == "input" and path is not None and not path.exists():
            raise InputError(
                f"{option_name(item)}: {path} does not exist. If a stage makes it, run: dvc repro. "
                "Otherwise put it there, or name another"
            )
