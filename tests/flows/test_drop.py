"""The drop folder: files arrive whole, once, and never in the place of others."""

import errno
import itertools
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.ingest.settings import TableSettings
from components.ingest.sources import table
from flows import drop
from flows.drop import collect


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    new, root = tmp_path / "incoming", tmp_path / "source"
    write(new, {"b.csv": "word\nbe\n", "images/1.png": "one", "images/deep/2.png": "two"})
    write(root, {"a.csv": "word\nah\n", "images/0.png": "zero"})
    return new, root


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def content(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


ALL = {
    "a.csv": "word\nah\n",
    "b.csv": "word\nbe\n",
    "images/0.png": "zero",
    "images/1.png": "one",
    "images/deep/2.png": "two",
}


def test_files_are_moved_to_the_same_place(folders):
    new, root = folders
    assert collect(new, root) == ["b.csv", "images/1.png", "images/deep/2.png"]
    assert content(root) == ALL
    assert list(new.iterdir()) == []
    assert collect(new, root) == []


def test_a_table_of_the_source_is_read_with_the_others(folders):
    new, root = folders
    collect(new, root)
    rows = table.read(TableSettings(files=["*.csv"], text="word"), root)
    assert [row.line.partition(":")[0] for row in rows] == ["a.csv", "b.csv"]


def test_no_folder_no_files(tmp_path):
    assert collect(tmp_path / "incoming", tmp_path / "source") == []


def test_the_same_content_under_the_same_name_is_there_already(folders):
    new, root = folders
    write(new, {"a.csv": "word\nah\n"})
    assert "a.csv" not in collect(new, root)
    assert content(root) == ALL and content(new) == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.csv", "a.csv: is in .* too, with other content. Give it another name"),
        ("images", "images: is in .* too"),  # where a folder is
        ("a.csv/b.csv", "a.csv/b.csv: is in .* too"),  # below a file
    ],
)
def test_other_content_under_the_same_name_is_refused_before_anything_moves(
    tmp_path, name, message
):
    new, root = tmp_path / "incoming", tmp_path / "source"
    write(root, {"a.csv": "old", "images/0.png": "zero"})
    write(new, {name: "new", "Fine.csv": "fine"})
    before = content(root), content(new)
    with pytest.raises(InputError, match=message):
        collect(new, root)
    assert (content(root), content(new)) == before


@pytest.mark.parametrize("target", ["a file", "a folder"])
def test_a_link_is_refused(folders, tmp_path, target):
    new, root = folders
    write(tmp_path, {"elsewhere/file": "x"})
    (new / "link").symlink_to(tmp_path / "elsewhere" / ("file" if target == "a file" else ""))
    before = content(root)
    with pytest.raises(InputError, match="link: is a link. Put the file itself there"):
        collect(new, root)
    assert content(root) == before


def test_what_is_still_being_written_is_left_alone(folders):
    new, root = folders
    write(new, {".part.csv": "half", ".sync/state": "x"})
    collect(new, root)
    assert content(root) == ALL
    assert content(new) == {".part.csv": "half", ".sync/state": "x"}


def test_from_another_disk(folders, monkeypatch):
    new, root = folders
    link = os.link

    def refuse(source, target):
        if Path(source).is_relative_to(new):
            raise OSError(errno.EXDEV, "another disk")
        link(source, target)

    monkeypatch.setattr(os, "link", refuse)
    write(root, {"images/1.png.unfinished": "ha"})  # what a killed copy left
    collect(new, root)
    assert content(root) == ALL and content(new) == {}


def die_at(call: int, new: Path, root: Path) -> None:
    """Collect, and be killed before the n-th of all calls that change a folder."""
    calls = itertools.count(1)

    def counted(real):
        def wrapper(*arguments, **options):
            if next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return wrapper

    for module, name in ((os, "link"), (Path, "unlink"), (Path, "mkdir"), (os, "rmdir")):
        setattr(module, name, counted(getattr(module, name)))
    collect(new, root)


@pytest.mark.parametrize("call", range(1, 12))
def test_a_kill_at_any_point_is_mended_by_the_next_move(folders, call):
    process = multiprocessing.get_context("fork").Process(target=die_at, args=(call, *folders))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    new, root = folders
    assert content(root) | content(new) == ALL  # nothing lost, nothing half
    collect(new, root)
    assert content(root) == ALL
    assert list(new.iterdir()) == []


def test_a_file_that_appears_meanwhile_is_not_overwritten(folders, monkeypatch):
    new, root = folders
    link = os.link

    def late(source, target):
        if Path(target).name == "1.png":
            write(root, {"images/1.png": "another's"})
        link(source, target)

    monkeypatch.setattr(drop.os, "link", late)
    with pytest.raises(InputError, match="1.png: is at .* too, with other content"):
        collect(new, root)
    assert (root / "images/1.png").read_text() == "another's"
    assert (new / "images/1.png").read_text() == "one"
