"""Command lines of stages, as typed records."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from components.common.errors import InputError
from components.stage.arguments import (
    Arguments,
    check_inputs,
    input_path,
    option,
    output_path,
    parse_arguments,
    state_path,
    with_role,
)


@dataclass(frozen=True, kw_only=True)
class ToyArguments(Arguments):
    """Options of every role."""

    data_set: Path = input_path("what is read")
    extra: Path | None = input_path("what may be read", optional=True)
    result: Path = output_path("what is written")
    checkpoint: Path = state_path("what is kept")
    modality: str = option("a name")
    suite: Literal["none", "quick"] = option("of corruptions", "none")


WORDS = ["--data-set", "a", "--result", "b", "--checkpoint", "c", "--modality", "image"]


def parse(*words: str) -> ToyArguments:
    return parse_arguments(ToyArguments, "A toy.", list(words))


def test_words_become_a_record():
    assert parse(*WORDS) == ToyArguments(
        data_set=Path("a"), result=Path("b"), checkpoint=Path("c"), modality="image"
    )
    found = parse(*WORDS, "--extra", "d", "--suite", "quick", "--params", "mine.yaml")
    assert (found.extra, found.suite, found.params) == (Path("d"), "quick", Path("mine.yaml"))


def test_defaults_may_be_left_out():
    found = parse(*WORDS)
    assert (found.extra, found.suite, found.params) == (None, "none", Path("params.yaml"))


@pytest.mark.parametrize("option", ["--data-set", "--result", "--checkpoint", "--modality"])
def test_missing_option_is_named(capsys, option):
    place = WORDS.index(option)
    with pytest.raises(SystemExit, match="2"):
        parse(*WORDS[:place], *WORDS[place + 2 :])
    assert f"the following arguments are required: {option}\n" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--suite", "ful"], ["--sweet", "quick"]], ids=str)
def test_unknown_word_is_named(capsys, words):
    with pytest.raises(SystemExit, match="2"):
        parse(*WORDS, *words)
    error = capsys.readouterr().err
    assert "invalid choice: 'ful'" in error or "unrecognized arguments: --sweet" in error


def test_help_has_the_description_of_every_option(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse("--help")
    output = capsys.readouterr().out
    for text in ("A toy.", "what is read", "what is written", "what is kept", "{none,quick}"):
        assert text in output


def test_roles():
    assert with_role(ToyArguments, "input") == ["code", "data_set", "extra"]
    assert with_role(ToyArguments, "output") == ["result"]
    assert with_role(ToyArguments, "state") == ["checkpoint"]
    assert with_role(ToyArguments, "option") == ["params", "modality", "suite"]


def test_inputs_must_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="--data-set: a does not exist. If a stage makes it"):
        check_inputs(parse(*WORDS))
    Path("a").touch()
    check_inputs(parse(*WORDS))
    with pytest.raises(InputError, match="--extra: d does not exist"):
        check_inputs(parse(*WORDS, "--extra", "d"))
