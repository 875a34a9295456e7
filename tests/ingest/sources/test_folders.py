"""Folders of classes: with and without folders of splits around them."""

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


@pytest.mark.parametrize(
    ("files", "message"),
    [((), "it holds nothing"), (("1.png",), "it holds 1.png"), (("train/1.png",), "holds train")],
    ids=str,
)
def test_folder_without_classes_is_refused(tmp_path, files, message):
    write_images(tmp_path, *files)
    with pytest.raises(InputError, match=f"has no folders of classes, .*{message}"):
        rows_of(tmp_path)
