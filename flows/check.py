"""Check params.yaml as a whole, before any stage runs: `python -m flows.check`.

Each stage checks the sections that it reads itself.
"""

from collections.abc import Iterator
from pathlib import Path

from components.common import command_line
from components.common.errors import nearest
from components.settings.pipeline import STAGES, all_problems
from components.stage.settings import parse_yaml, raise_problems
from components.stage.stage import exit_codes
from flows.settings import PARAMS, FlowSettings, read_params


def main() -> None:
    """Check a file; exit code 2 if it cannot be used."""
    parser = command_line.parser("Check a parameter file.")
    parser.add_argument("params", type=Path, nargs="?", default=PARAMS)
    path = parser.parse_args().params
    with exit_codes():
        check_text(read_params(path), path)
    print(f"{path}: every key and value is valid")


def check_text(text: bytes, path: Path) -> None:
    """Raise InputError with everything that is wrong in a parameter file's content."""
    check_content(parse_yaml(text, path), path)


def check_content(content: object, path: Path) -> None:
    """Raise InputError with everything that is wrong in the parsed content of a parameter file."""
    raise_problems(path, [*_unknown_sections(content), *all_problems(content, FlowSettings)])


def check_known(path: Path) -> None:
    """Raise InputError with what stages and flows would refuse; they pass over other sections."""
    raise_problems(path, all_problems(parse_yaml(read_params(path), path), FlowSettings))


def _unknown_sections(content: object) -> Iterator[str]:
    fields = [sections.model_fields for sections in (*STAGES, FlowSettings)]
    known = {field.alias or name: None for found in fields for name, field in found.items()}
    for key in content if isinstance(content, dict) else ():
        if key not in known:
            yield f"{key}: unknown key. {nearest(str(key), list(known))}"


if __name__ == "__main__":
    main()
