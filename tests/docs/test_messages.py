"""Commands that messages name as the way out exist."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator

import pytest
from click import Group
from click.testing import CliRunner
from dvc.cli.parser import get_main_parser

from tests.docs.code import check_command, main_module
from tests.docs.pages import COMMAND, Command
from tests.support.params import ROOT

TARGET = re.compile(r"(?:: |\(|`)make ([a-z][a-z-]+)")
TOOL = re.compile(r"(?:: |`)(dvc|mlflow) ((?:[a-z]+ ?)+)")
EXTRA = re.compile(r"pip install -e '\.\[([a-z]+)\]'")
OPTION = re.compile(r"(?<!\w)--[a-z][a-z-]*")


def texts() -> Iterator[str]:
    """Yield every text in the code; {} stands for a value in it."""
    for folder in ("components", "flows"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(map(_text, node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def _text(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "{}"


TEXTS = [" ".join(text.split()) for text in texts()]
MODULES = sorted({match[1] for text in TEXTS for match in COMMAND.finditer(text)})


def found(pattern: re.Pattern) -> list[str]:
    """Return what a pattern's groups find in all texts, each once."""
    matches = (match for text in TEXTS for match in pattern.finditer(text))
    return sorted({" ".join(match.groups()).strip() for match in matches})


def test_messages_are_read():
    assert {"run", "register", "ui", "services"} <= {*found(TARGET)}
    assert {"dvc repro", "dvc checkout", "mlflow db upgrade"} <= {*found(TOOL)}
    assert {"flows.promote", "components.start"} <= {*MODULES}


def test_modules_exist():
    for module in MODULES:
        main_module(module)


def test_options_in_messages_exist(monkeypatch, capsys):
    for match in (match for text in TEXTS for match in COMMAND.finditer(text)):
        if named := {*OPTION.findall(match[2])}:
            with pytest.raises(SystemExit):
                check_command(Command(match[1], ("--help",)), monkeypatch)
            assert named <= {*OPTION.findall(capsys.readouterr().out)}, match[0]


def test_targets_of_make_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {*found(TARGET)} <= targets


@pytest.mark.parametrize("command", found(TOOL))
def test_command_of_dvc_or_mlflow_exists(command, capsys):
    tool, *words = shlex.split(command)
    if tool == "dvc":
        with pytest.raises(SystemExit) as end:
            get_main_parser().parse_args([*_known(words), "--help"])
        assert end.value.code == 0
    else:
        from mlflow.cli import cli  # here, as it takes a second

        is_group = isinstance(cli.commands.get(words[0]), Group)
        done = CliRunner().invoke(cli, [*words[: 2 if is_group else 1], "--help"])
        assert done.exit_code == 0, done.output


def _known(words: list[str]) -> list[str]:
    """Return a command of DVC: its first word, and the second of `dvc remote add`."""
    return words[:2] if words[0] in ("remote", "cache", "config") else words[:1]


def test_extras_to_install_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*found(EXTRA)} <= project["optional-dependencies"].keys()
    assert not [text for text in TEXTS if f"pip install '{project['name']}" in text]  # of strangers
