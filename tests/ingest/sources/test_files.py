"""Paths in rows are safe, lines that are not UTF-8 are known, errors suggest the nearest name."""

import gzip
import os
import pickle
import socket

import pytest

from components.common.errors import InputError
from components.ingest.sources.files import (
    RowError,
    is_unicode,
    known_split,
    lines,
    media_file,
    not_utf8,
    read_file,
    source_path,
)


@pytest.fixture
def root(tmp_path):
    """A root with a file and links; beside it a file that no row may reach."""
    root = (tmp_path / "root").resolve()
    (root / "images").mkdir(parents=True)
    (root / "images/cat.png").write_bytes(b"cat")
    (tmp_path / "secret").write_bytes(b"secret")
    os.symlink(tmp_path / "secret", root / "link.png")
    os.symlink(tmp_path, root / "out")
    os.symlink(root / "images", root / "in")
    os.symlink("loop", root / "loop")
    return root


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("images/cat.png", "images/cat.png"),
        ("./images//cat.png", "images/cat.png"),
        ("images/../images/cat.png", "images/cat.png"),
        ("in/cat.png", "in/cat.png"),
    ],
)
def test_path_below_root_has_shortest_key(root, name, key):
    media = media_file(root, name)
    assert media.key == key
    assert pickle.loads(pickle.dumps(media.load))() == b"cat"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("https://example.org/cat.png", "path_address"),
        ("data:image/png;base64,iVBORw0", "path_address"),
        ("/etc/hostname", "path_absolute"),
        ("C:\\images\\cat.png", "path_absolute"),
        ("C:/images/cat.png", "path_absolute"),
        ("images\\cat.png", "path_backslash"),
        ("../secret", "path_outside"),
        ("images/../../secret", "path_outside"),
        ("..", "path_outside"),
        (".", "path_outside"),
        ("link.png", "path_outside"),
        ("out/secret", "path_outside"),
        ("", "path_invalid"),
        (" ", "path_invalid"),
        ("images/cat.png\0", "path_invalid"),
        ("\udcff.png", "path_invalid"),
    ],
)
def test_unsafe_path_is_refused(root, name, reason):
    with pytest.raises(RowError) as error:
        media_file(root, name)
    bad = error.value.at("rows.csv:2")
    assert (bad.row_id, bad.reason) == ("rows.csv:2", reason)
    assert bad.asset == (None if reason == "path_invalid" else name)


@pytest.mark.parametrize("name", ["images/dog.png", "images", "loop", f"{'x' * 300}.png"])
def test_missing_file_fails_when_loaded(root, name):
    media = media_file(root, name)
    with pytest.raises(OSError):
        media.load()


def test_missing_path_suggests_nearest(root):
    assert source_path(root, "images/cat.png", "ingest.x") == root / "images/cat.png"
    with pytest.raises(InputError) as error:
        source_path(root, "imagse/cat.png", "ingest.x.path")
    for part in ("ingest.x.path", "imagse/cat.png does not exist", "Did you mean 'images'?"):
        assert part in str(error.value)


@pytest.mark.parametrize("name", ["cat.png", "../images/cat.png", "../in/cat.png"])
def test_path_may_leave_its_folder_within_root(root, name):
    media = media_file(root, name, "images")
    assert media.load() == b"cat"
    with pytest.raises(RowError):
        media_file(root, "../../secret", "images")


def test_setting_may_name_root(root):
    assert source_path(root, ".", "ingest.x") == root


@pytest.mark.parametrize("name", ["../secret", "..", "/etc/hostname", "link.png", "out/secret"])
def test_setting_outside_root_is_refused(root, name):
    with pytest.raises(InputError, match="ingest.x: found .* expected a path below ingest.root"):
        source_path(root, name, "ingest.x")


def test_lines_lose_byte_order_mark_and_carriage_returns(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffα\r\n\r\nβ\rγ\n\x0b\x85\u2028δ".encode())
    assert list(lines(path)) == [
        (1, "α\n"), (2, "\n"), (3, "β\n"), (4, "γ\n"), (5, "\x0b\x85\u2028δ"),
    ]  # fmt: skip


def test_line_that_is_not_utf8_is_recognised(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"good\ncaf\xe9\ngood\n")
    assert [is_unicode(line) for _, line in lines(path)] == [True, False, True]


def test_utf16_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("id,text\n", encoding="utf-16")
    with pytest.raises(InputError, match=r"a\.txt is UTF-16, expected UTF-8"):
        list(lines(path))


@pytest.mark.parametrize(
    ("word", "split"),
    [
        ("train", "train"), ("TRAINING", "train"), ("restval", "train"), ("Val", "validation"),
        ("dev", "validation"), ("valid", "validation"), (" test ", "test"), ("Testing", "test"),
    ],
)  # fmt: skip
def test_split_has_several_names(word, split):
    assert known_split(word, "split") == split


def test_unknown_split_is_refused():
    with pytest.raises(RowError, match="'part' holds 'holdout', expected one of: train") as error:
        known_split("holdout", "part")
    assert (error.value.asset, error.value.reason) == ("part", "split_unknown")


@pytest.mark.parametrize(
    ("there", "named", "difference"),
    [
        ("Cat.PNG", "cat.png", "case"),
        ("caf\u00e9.png", "cafe\u0301.png", "Unicode form"),
        ("cat.png", "cat.png ", "blanks"),
        ("Caf\u00e9.png", "cafe\u0301.png", "case, blanks or Unicode form"),
        ("Cats/1.png", "cats/1.png", "case"),
    ],
)
def test_missing_file_names_one_that_differs_in_spelling(root, there, named, difference):
    (root / there).parent.mkdir(exist_ok=True)
    (root / there).write_bytes(b"x")
    name, wanted = there.partition("/")[0], named.partition("/")[0]
    with pytest.raises(
        FileNotFoundError, match=f"there is {name!r}, which differs in {difference} "
    ):
        media_file(root, named).load()
    with pytest.raises(FileNotFoundError, match=f"from {wanted!r}"):
        media_file(root, named).look()


def test_missing_file_names_one_with_a_suffix(tmp_path):
    (tmp_path / "7.png").touch()
    with pytest.raises(OSError, match="there is '7.png'. Correct the row"):
        media_file(tmp_path, "7").load()


def test_missing_file_without_near_name_is_only_missing(root):
    with pytest.raises(FileNotFoundError, match="^No such file or directory$"):
        media_file(root, "images/dog.png").load()


def test_pipe_socket_and_folder_are_never_opened(root):
    os.mkfifo(root / "pipe.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket.png"))
    for name, kind in {
        "pipe.png": "a named pipe",
        "socket.png": "a socket",
        "in": "a folder",
    }.items():
        for use in (media_file(root, name).load, media_file(root, name).look):
            with pytest.raises(OSError, match=f"it is {kind}, expected a file"):
                use()


def test_device_is_never_opened():
    with pytest.raises(OSError, match="it is a device, expected a file"):
        read_file("/dev/zero")


@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32"])
def test_wide_encodings_name_conversion(tmp_path, encoding):
    (tmp_path / "my data.csv").write_text("id,text\n", encoding=encoding)
    with pytest.raises(InputError, match=f"iconv -f {encoding} -t UTF-8 'my data.csv'"):
        list(lines(tmp_path / "my data.csv"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"id,text\n", mtime=0), "compressed by gzip: unpack it with gunzip"),
        (b"PK\3\4\0\0", "a ZIP archive, as .xlsx is: .* in Excel save it as CSV UTF-8"),
        (b"<!DOCTYPE html>\n<html>", "a web page, as failed downloads are: download it again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS .*: git lfs pull"),
    ],
)
def test_file_that_is_not_text_names_what_it_is(tmp_path, content, message):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"a.csv is not text: it is {message}"):
        list(lines(tmp_path / "a.csv"))


def test_nul_alone_does_not_make_text_utf16(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"id,te\0xt\n")
    assert list(lines(tmp_path / "a.csv")) == [(1, "id,te\0xt\n")]


def test_text_of_excel_is_recognised():
    found = not_utf8(b"caf\xe9".decode(errors="surrogateescape"))
    assert "the byte 0xE9, 'é' in Windows-1252, which Excel writes" in found
    assert "iconv -f WINDOWS-1252 -t UTF-8" in found
