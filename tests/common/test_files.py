"""A file is the old one or the new one, never a part of one."""

import json
import os
import signal
import subprocess
import sys

import pytest

from components.common.errors import InputError
from components.common.files import read_json, replacing, write_bytes, write_json, write_text
from tests.shrunk import ROOT, run_python

KILLED_IN_MID_WRITE = """
import os, signal, sys
from pathlib import Path
from components.common.files import replacing
with replacing(Path(sys.argv[1])) as temporary, open(temporary, "wb") as file:
    file.write(b"half of the new")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""

WRITES_FOR_EVER = """
import itertools, sys
from pathlib import Path
from components.common.files import write_bytes
for letter in itertools.cycle([b"a", b"b"]):
    write_bytes(Path(sys.argv[1]), letter * 1_000_000)
"""


def test_writes_into_folders_that_are_not_there_yet(tmp_path):
    write_text(tmp_path / "a" / "b" / "text.txt", "naïve\n")
    assert (tmp_path / "a" / "b" / "text.txt").read_bytes() == "naïve\n".encode()


def test_replaces_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_an_error_in_mid_write_leaves_the_old_file_and_nothing_beside(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_bytes(b"half of the new")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_value_that_is_not_json_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["file.json"]


def test_sigkill_in_mid_write_leaves_the_old_file_and_the_next_write_works(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    process = run_python("-c", KILLED_IN_MID_WRITE, str(path), cwd=tmp_path)
    assert process.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_reader_beside_a_writer_sees_whole_files_only_and_so_does_who_comes_after(tmp_path):
    path = tmp_path / "file"
    write_bytes(path, b"a" * 1_000_000)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITES_FOR_EVER, str(path)], env={**os.environ, "PYTHONPATH": ROOT}
    )
    seen = set()
    try:
        while len(seen) < 2 and writer.poll() is None:
            content = path.read_bytes()
            assert content in (b"a" * 1_000_000, b"b" * 1_000_000)
            seen.add(content[:1])
    finally:
        writer.kill()
        writer.wait()
    assert seen == {b"a", b"b"}
    assert path.read_bytes() in (b"a" * 1_000_000, b"b" * 1_000_000)


def test_json_comes_back_in_its_order(tmp_path):
    value = {"b": [1, 2.5, None], "a": {"ü": "→"}}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value
    assert list(read_json(tmp_path / "file.json")) == ["b", "a"]


@pytest.mark.parametrize(("content", "message"), [(None, "is missing"), ("{", "is not JSON")])
def test_a_json_file_that_cannot_be_read_is_named(tmp_path, content, message):
    path = tmp_path / "file.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=f"file.json {message}"):
        read_json(path)
