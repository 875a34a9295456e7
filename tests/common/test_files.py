"""Files appear whole or not at all."""

import json
import os
import signal
import subprocess
import sys

import pytest

from components.common.errors import InputError
from components.common.files import read_json, replacing, write_json, write_text
from tests.support.params import ROOT
from tests.support.process import run_python

KILLED = """
import os, signal, sys
from pathlib import Path
from components.common.files import replacing
with replacing(Path(sys.argv[1])) as temporary, open(temporary, "wb") as file:
    file.write(b"half of the new")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""

ENDLESS = """
import itertools, sys
from pathlib import Path
from components.common.files import write_text
for letter in itertools.cycle(["a", "b"]):
    write_text(Path(sys.argv[1]), letter * 1_000_000)
"""


def test_missing_folders_are_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "text.txt", "naïve\n")
    assert (tmp_path / "a" / "b" / "text.txt").read_bytes() == "naïve\n".encode()


def test_file_is_replaced_without_leftovers(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    write_text(path, "new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_error_in_mid_write_keeps_old_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_bytes(b"half of the new")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_value_that_is_not_json_keeps_old_file(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["file.json"]


def test_sigkill_in_mid_write_keeps_old_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    process = run_python("-c", KILLED, str(path), cwd=tmp_path)
    assert process.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_text(path, "new")
    assert path.read_bytes() == b"new"


def test_concurrent_reader_sees_whole_files_only(tmp_path):
    path = tmp_path / "file"
    write_text(path, "a" * 1_000_000)
    writer = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(path)], env={**os.environ, "PYTHONPATH": ROOT}
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


def test_json_keeps_order_of_keys(tmp_path):
    value = {"b": [1, 2.5, None], "a": {"ü": "→"}}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value
    assert list(read_json(tmp_path / "file.json")) == ["b", "a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "is missing"), *((found, "is not JSON") for found in (b"{", b"", b"\xff", b"\0"))],
)
def test_unreadable_json_file_is_named(tmp_path, content, message):
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"file.json {message}"):
        read_json(path)
