"""Folders of classes: with and without folders of splits around them."""

import os

import pytest

from components.common.errors import InputError
from components.ingest.sources.folders import FoldersSettings, read
from tests.ingest.sources.source_files import context, write, write_images


def rows_of(root, path="."):
    return list(read(FoldersSettings(modality="image", path=path), context(root)))


def test_folder_is_the_class(tmp_path):
    write_images(tmp_path, "cat/2.png", "cat/1.png", "dog/more/3.png")
    rows = rows_of(tmp_path)
    assert [(row.row_id, row.split, row.columns) for row in rows] == [
        ("cat/1.png", None, {"class": "cat"}),
        ("cat/2.png", None, {"class": "cat"}),
        ("dog/more/3.png", None, {"class": "dog"}),
    ]
    assert rows[0].media["image"].load() == (tmp_path / "cat/1.png").read_bytes()


def test_folders_of_splits_lie_around(tmp_path):
    write_images(tmp_path, "pets/train/cat/1.png", "pets/Val/cat/2.png", "pets/test/dog/3.png")
    found = [(row.row_id, row.split) for row in rows_of(tmp_path, "pets")]
    assert found == [
        ("pets/Val/cat/2.png", "validation"),
        ("pets/test/dog/3.png", "test"),
        ("pets/train/cat/1.png", "train"),
    ]


def test_class_may_be_called_as_a_split(tmp_path):
    write_images(tmp_path, "train/1.png", "plane/2.png")
    assert [row.columns["class"] for row in rows_of(tmp_path)] == ["plane", "train"]


def test_hidden_files_are_left_out(tmp_path):
    write_images(tmp_path, "cat/1.png", "cat/.2.png", ".cache/3.png", "cat/.thumbnails/4.png")
    assert [row.row_id for row in rows_of(tmp_path)] == ["cat/1.png"]


def test_link_out_of_the_root_is_a_bad_row(tmp_path):
    outside = write(tmp_path, "outside.png", b"")
    write_images(tmp_path / "root", "cat/1.png")
    (tmp_path / "root/cat/2.png").symlink_to(outside)
    first, second = rows_of(tmp_path / "root")
    assert first.row_id == "cat/1.png" and second.reason == "path_outside"


def test_link_that_leads_nowhere_or_to_a_folder_is_kept_as_a_row(tmp_path):
    write_images(tmp_path, "cat/1.png", "more/2.png")
    (tmp_path / "cat/loop").symlink_to(".")
    (tmp_path / "cat/lost.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "cat/pipe.png")
    found = {row.row_id: row.media["image"] for row in rows_of(tmp_path)}
    assert list(found) == ["cat/1.png", "cat/loop", "cat/lost.png", "cat/pipe.png", "more/2.png"]
    for name, message in (("loop", "a folder"), ("lost.png", "No such file"), ("pipe.png", "pipe")):
        with pytest.raises(OSError, match=message):
            found[f"cat/{name}"].look()


def test_name_that_is_not_utf8_is_a_bad_row(tmp_path):
    write_images(tmp_path, "cat/1.png")
    with open(os.fsencode(tmp_path / "cat") + b"/caf\xe9.png", "wb"):
        pass
    _, bad = rows_of(tmp_path)
    assert (bad.reason, bad.row_id.encode()) == ("path_invalid", b"'cat/caf\\udce9.png'")


def test_files_of_a_split_without_classes_are_samples_without_a_label(tmp_path):
    write_images(tmp_path, "train/cat/1.png", "test/2.png")
    found = [(row.row_id, row.split, row.columns["class"]) for row in rows_of(tmp_path)]
    assert found == [("test/2.png", "test", None), ("train/cat/1.png", "train", "cat")]


def test_files_of_systems_are_left_out(tmp_path):
    write_images(tmp_path, "cat/1.png", "cat/Thumbs.db", "dog/desktop.ini", "__MACOSX/cat/1.png")
    assert [row.row_id for row in rows_of(tmp_path)] == ["cat/1.png"]


def test_files_beside_the_folders_are_named(tmp_path, caplog):
    write_images(tmp_path, "cat/1.png", "2.png", "labels.csv")
    assert len(rows_of(tmp_path)) == 1
    assert "holds 2 files beside the folders, which are not read: '2.png', 'la" in caplog.text


@pytest.mark.parametrize("other", ["evaluation/cat/2.png", "masks/2.png"])
def test_folder_that_is_no_split_among_splits_is_refused(tmp_path, other):
    """Or else train and test would be classes, without a word."""
    write_images(tmp_path, "train/cat/1.png", "test/dog/1.png", other)
    with pytest.raises(InputError, match=f"of splits, as test, and {other[:4]}.*Call"):
        rows_of(tmp_path)


@pytest.mark.parametrize(
    ("files", "message"),
    [((), "it holds nothing"), (("1.png",), "it holds 1.png"), (("train/1.png",), "holds train")],
    ids=str,
)
def test_folder_without_classes_is_refused(tmp_path, files, message):
    write_images(tmp_path, *files)
    with pytest.raises(InputError, match=f"has no folders of classes, .*{message}"):
        rows_of(tmp_path)
