"""`python -m flows.dvc.repro`: a stage and what it needs, one after the other."""

import os

import pytest

from flows.dvc.repro import main


def test_stage_and_what_it_needs_run_once(toy):
    assert main(["left"]) == 0
    assert toy.ran() == ["source", "left"]
    assert main(["left"]) == 0
    assert toy.ran() == []


def test_result_is_that_of_dvc_repro(toy, reproduced):
    for stage in ("report", "aside"):
        assert main([stage]) == 0
    toy.assert_nothing_to_do()
    assert toy.tracked()["metrics.json"] == (reproduced / "metrics.json").read_bytes()


@pytest.mark.parametrize(("code", "expected"), [(1, 1), (2, 2), (os.EX_TEMPFAIL, os.EX_TEMPFAIL)])
def test_code_says_whether_a_failure_may_pass(toy, refusal, code, expected):
    toy.hook("left", f"exit {code}")
    assert refusal(["left"]) == expected
    assert toy.ran() == ["source", "left"]


def test_unknown_stage_is_refused(toy, refused):
    assert "Did you mean 'left'" in refused(main, ["lefft"])


@pytest.fixture
def refusal(capsys):
    """Call main with words; return its exit code, after one line that says what went wrong."""

    def call(words: list[str]) -> int | str | None:
        try:
            code: int | str | None = main(words)
        except SystemExit as ended:
            code = ended.code
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: left: exit code ")
        return code

    return call
