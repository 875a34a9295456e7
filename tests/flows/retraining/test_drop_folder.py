"""The drop folder: files arrive whole, once, and overwrite nothing."""

import errno
import itertools
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.ingest.settings import IngestStageSettings
from components.ingest.sources import table
from components.ingest.sources.source import SourceContext
from flows.retraining import drop_folder
from flows.retraining.drop_folder import collect
from tests.support.params import small_settings


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


def test_files_move_to_the_same_place(folders):
    new, root = folders
    assert collect(new, root) == ["b.csv", "images/1.png", "images/deep/2.png"]
    assert content(root) == ALL
    assert list(new.iterdir()) == []
    assert collect(new, root) == []


def test_dropped_table_is_read_with_others(folders):
    new, root = folders
    collect(new, root)
    settings = table.TableSettings(files=["*.csv"], columns={"text": "word"})
    splits = small_settings(IngestStageSettings).ingest.splits
    rows = table.read(settings, SourceContext(root, splits, seed=0))
    assert [row.row_id.partition(":")[0] for row in rows] == ["a.csv", "b.csv"]


def test_missing_folder_has_no_files(tmp_path):
    assert collect(tmp_path / "incoming", tmp_path / "source") == []


def test_same_content_is_not_new(folders):
    new, root = folders
    write(new, {"a.csv": "word\nah\n"})
    assert "a.csv" not in collect(new, root)
    assert content(root) == ALL and content(new) == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.csv", "a.csv: is in .* too, with other content. Rename it"),
        ("images", "images: is in .* too"),  # where a folder is
        ("a.csv/b.csv", "a.csv/b.csv: is in .* too"),  # below a file
    ],
)
def test_conflict_is_refused_before_any_move(tmp_path, name, message):
    new, root = tmp_path / "incoming", tmp_path / "source"
    write(root, {"a.csv": "old", "images/0.png": "zero"})
    write(new, {name: "new", "Fine.csv": "fine"})
    before = content(root), content(new)
    with pytest.raises(InputError, match=message):
        collect(new, root)
    assert (content(root), content(new)) == before


@pytest.mark.parametrize("target", ["a file", "a folder"])
def test_link_is_refused(folders, tmp_path, target):
    new, root = folders
    write(tmp_path, {"elsewhere/file": "x"})
    (new / "link").symlink_to(tmp_path / "elsewhere" / ("file" if target == "a file" else ""))
    before = content(root)
    with pytest.raises(InputError, match="link: is a link. Put the file itself there"):
        collect(new, root)
    assert content(root) == before


@pytest.mark.parametrize("name", ["dvc.yaml", "images/dvc.yaml", "dvc.lock", "images.dvc"])
def test_file_of_dvc_is_refused(folders, name):
    new, root = folders
    write(new, {name: "stages: {any: {cmd: touch made}}"})
    before = content(root)
    with pytest.raises(InputError, match=f"{name}: is a file of DVC"):
        collect(new, root)
    assert content(root) == before


def test_hidden_files_are_left_alone(folders):
    new, root = folders
    write(new, {".part.csv": "half", ".sync/state": "x"})
    collect(new, root)
    assert content(root) == ALL
    assert content(new) == {".part.csv": "half", ".sync/state": "x"}


def test_files_of_another_disk_are_copied(folders, monkeypatch):
    new, root = folders
    link = os.link

    def refuse(source, target):
        if Path(source).is_relative_to(new):
            raise OSError(errno.EXDEV, "another disk")
        link(source, target)

    monkeypatch.setattr(os, "link", refuse)
    write(root, {"images/1.png.unfinished": "ha"})  # left by a killed copy
    collect(new, root)
    assert content(root) == ALL and content(new) == {}


def die_at(call: int, new: Path, root: Path) -> None:
    """Collect, and be killed before the n-th call that changes a folder."""
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
def test_next_run_finishes_killed_one(folders, call):
    process = multiprocessing.get_context("fork").Process(target=die_at, args=(call, *folders))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    new, root = folders
    assert content(root) | content(new) == ALL  # nothing lost, nothing partial
    collect(new, root)
    assert content(root) == ALL
    assert list(new.iterdir()) == []


def test_file_that_appears_meanwhile_is_kept(folders, monkeypatch):
    new, root = folders
    link = os.link

    def late(source, target):
        if Path(target).name == "1.png":
            write(root, {"images/1.png": "another's"})
        link(source, target)

    monkeypatch.setattr(drop_folder.os, "link", late)
    with pytest.raises(InputError, match="1.png: is at .* too, with other content"):
        collect(new, root)
    assert (root / "images/1.png").read_text() == "another's"
    assert (new / "images/1.png").read_text() == "one"
