"""Exit codes: 2 for mistakes, 75 for what may pass, and a traceback for faults only."""

import os

import pytest

from components.common.errors import InputError, Unavailable
from components.stage.stage import exit_codes


@pytest.mark.parametrize(("error", "code"), [(InputError, 2), (Unavailable, os.EX_TEMPFAIL)])
def test_message_and_code_without_traceback(capsys, error, code):
    with pytest.raises(SystemExit) as end, exit_codes():
        raise error("seed: found 'x'")
    assert end.value.code == code
    assert end.value.__cause__ is None and end.value.__suppress_context__
    assert capsys.readouterr().err == "error: seed: found 'x'\n"


def test_fault_passes():
    with pytest.raises(ZeroDivisionError), exit_codes():
        raise ZeroDivisionError


def test_success_passes(capsys):
    with exit_codes():
        print("done")
    assert capsys.readouterr() == ("done\n", "")
