"""The fingerprint of a run, which names its checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from components.align.settings import AlignStageSettings
from components.stage.arguments import Arguments, input_path, output_path, state_path
from components.stage.stage import run_fingerprint
from tests.support.params import small_settings

MODULE = "components.align.__main__"


@dataclass(frozen=True, kw_only=True)
class ToyArguments(Arguments):
    """The command line of a stage."""

    data: Path = input_path("what is learnt from")
    texts: Path | None = input_path("more of it", optional=True)
    model: Path = output_path("what is learnt")
    checkpoint: Path = state_path("where to resume")


@pytest.fixture
def fingerprint(tmp_path):
    def of(name: str, content: str, module: str = MODULE, texts=None, code=None, **changes):
        for file, written in ((name, content), ("texts", texts or "")):
            (tmp_path / file).write_text(written)
        arguments = ToyArguments(
            code=None if code is None else tmp_path / code,
            data=tmp_path / name,
            texts=None if texts is None else tmp_path / "texts",
            model=tmp_path / f"model of {name}",
            checkpoint=tmp_path / f"checkpoint of {name}",
        )
        return run_fingerprint(module, arguments, small_settings(AlignStageSettings, changes))

    return of


def test_paths_and_other_sections_do_not_matter(fingerprint):
    first = fingerprint("a", "x")
    assert fingerprint("b", "x") == first
    assert fingerprint("a", "x", **{"train.epochs": 9}) == first


def test_stage_by_hand_resumes_what_dvc_ran(fingerprint):
    """DVC names the listing of code, whose files count by themselves."""
    assert fingerprint("a", "x", code="listing.txt") == fingerprint("a", "x")


def test_inputs_settings_and_code_matter(fingerprint):
    first = fingerprint("a", "x")
    assert fingerprint("a", "y") != first
    assert fingerprint("a", "x", texts="z") != first
    assert fingerprint("a", "x", **{"align.epochs": 9}) != first
    assert fingerprint("a", "x", module="components.train.__main__") != first
