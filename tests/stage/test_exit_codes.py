"""Exit codes: 2 for mistakes, 75 for what may pass, and a traceback for faults only."""

import errno
import os
import secrets
import sqlite3
import subprocess
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from safetensors.numpy import save_file

from components.common.errors import DISK_FULL, InputError, Unavailable
from components.common.files import write_text
from components.stage.stage import exit_codes
from tests.support.process import run_python


@pytest.mark.parametrize(("error", "code"), [(InputError, 2), (Unavailable, os.EX_TEMPFAIL)])
def test_message_and_code_without_traceback(capsys, error, code):
    with pytest.raises(SystemExit) as end, exit_codes():
        raise error("seed: found 'x'")
    assert end.value.code == code
    assert end.value.__cause__ is None and end.value.__suppress_context__
    assert capsys.readouterr().err == "error: seed: found 'x'\n"


def test_interrupted_work_has_no_traceback(capsys):
    with pytest.raises(SystemExit, match="130"), exit_codes():
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "error: interrupted\n"


def test_fault_passes():
    with pytest.raises(ZeroDivisionError), exit_codes():
        raise ZeroDivisionError


def test_success_passes(capsys):
    with exit_codes():
        print("done")
    assert capsys.readouterr() == ("done\n", "")


def test_end_of_process_searches_no_garbage(tmp_path):
    script = (
        "from components.stage.stage import exit_codes\n"
        "class Node:\n"
        "    def __del__(self): print('found')\n"
        "with exit_codes():\n"
        "    node = Node()\n"
        "    node.itself = node\n"
        "    del node\n"
    )
    process = run_python("-c", script, cwd=tmp_path)
    assert (process.returncode, process.stdout) == (0, "")


def write_bytes(path):
    path.write_bytes(bytes(2**21))


def write_parquet(path):
    parquet.write_table(pyarrow.table({"a": [secrets.token_bytes(2**21)]}), path)


def write_tensors(path):
    save_file({"a": np.zeros(2**20)}, path)


def write_database(path):
    with sqlite3.connect(path) as database:
        database.execute("create table a as select zeroblob(2097152)")


@pytest.mark.parametrize("write", [write_bytes, write_parquet, write_tensors, write_database])
def test_full_disk_is_said_without_traceback(tmp_path, mount, capsys, write):
    mount(tmp_path / "disk", "size=1m")
    with pytest.raises(SystemExit) as end, exit_codes():
        write(tmp_path / "disk" / "file")
    assert end.value.code == os.EX_TEMPFAIL
    assert capsys.readouterr().err.endswith(f". {DISK_FULL}\n")


@pytest.mark.parametrize("name", ["folder", "file/name", "loop/name", "x" * 300])
@pytest.mark.parametrize("act", [Path.read_bytes, lambda path: write_text(path, "")])
def test_unusable_path_is_said_without_traceback(tmp_path, capsys, name, act):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SystemExit) as end, exit_codes():
        act(tmp_path / name)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}") and "cannot be used: " in error


def test_file_of_another_user_is_said_without_traceback(capsys):
    with pytest.raises(SystemExit) as end, exit_codes():
        raise PermissionError(errno.EACCES, "Permission denied", "params.yaml")
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "error: params.yaml cannot be used: Permission denied. Name another, or let this user read "
        "and write it\n"
    )


def test_missing_program_is_a_fault():
    with pytest.raises(FileNotFoundError), exit_codes():
        subprocess.run(["no such program"])
