"""Data sets as `datasets` saves them and as the Hub ships them."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.errors import InputError
from components.ingest.records import BadRow, Record
from components.ingest.sources.huggingface import HuggingFaceSettings, read
from tests.ingest.sources.documented import documented
from tests.ingest.sources.source_files import context

MEDIA = pa.struct({"bytes": pa.binary(), "path": pa.string()})
FEATURES = {
    "image": {"_type": "Image"},
    "sound": {"_type": "Audio"},
    "caption": {"dtype": "string", "_type": "Value"},
    "breed": {"names": ["tabby", "poodle"], "_type": "ClassLabel"},
    "moods": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"},
    "parts": {"feature": {"names": ["ear", "tail"], "_type": "ClassLabel"}, "_type": "List"},
    "size": {"dtype": "float32", "_type": "Value"},
}
COLUMNS = {"image": "image", "audio": "sound", "text": "caption"}


def table(start: int, count: int) -> pa.Table:
    """Return rows as `datasets` lays them out, each with different contents."""
    numbers = range(start, start + count)
    columns = {
        "image": pa.array([{"bytes": b"image %d" % n, "path": "cat.png"} for n in numbers], MEDIA),
        "sound": pa.array([{"bytes": b"sound %d" % n, "path": None} for n in numbers], MEDIA),
        "caption": [f"caption {n}" for n in numbers],
        "breed": pa.array([n % 2 for n in numbers], pa.int64()),
        "moods": [["calm", "kind"]] * count,
        "parts": pa.array([[1, 0]] * count, pa.list_(pa.int64())),
        "size": pa.array([n + 0.5 for n in numbers], pa.float32()),
    }
    metadata = {"huggingface": json.dumps({"info": {"features": FEATURES}})}
    return pa.table(columns).replace_schema_metadata(metadata)


def write_stream(path: Path, content: pa.Table, batch: int = 1000) -> None:
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.RecordBatchStreamWriter(file, content.schema) as out,
    ):
        out.write_table(content, max_chunksize=batch)


def save_to_disk(folder: Path, shards: list[pa.Table], split: str | None = None) -> None:
    folder.mkdir(parents=True)
    names = [f"data-{n:05d}-of-{len(shards):05d}.arrow" for n in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        write_stream(folder / name, shard)
    state = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": "0123456789abcdef",
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": split,
    }
    info = {"citation": "", "description": "", "features": FEATURES, "homepage": "", "license": ""}
    (folder / "state.json").write_text(json.dumps(state, indent=2, sort_keys=True))
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2))


def save_dict(folder: Path, parts: dict[str, list[pa.Table]]) -> None:
    for split, shards in parts.items():
        save_to_disk(folder / split, shards, split)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(parts)}))


def save_parquet(folder: Path, names: list[str], count: int = 1) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table(number * count, count), folder / name)


def rows(
    root: Path, *, id: str | None = None, split: str | None = None, **columns: str
) -> list[Record | BadRow]:
    """Return all rows of the data set `pets`; `columns` maps modalities, by default all."""
    settings = HuggingFaceSettings(path="pets", columns=columns or COLUMNS, id=id, split=split)
    return list(read(settings, context(root)))


def test_saved_data_set_gives_media_and_class_names(tmp_path):
    save_to_disk(tmp_path / "pets", [table(0, 150), table(150, 3)])
    found = rows(tmp_path)
    assert [row.row_id for row in found] == [
        *(f"pets/data-00000-of-00002.arrow:{n}" for n in range(150)),
        *(f"pets/data-00001-of-00002.arrow:{n}" for n in range(3)),
    ]
    for number, row in enumerate(found):
        assert row.media["image"].load() == b"image %d" % number
        assert row.media["audio"].load() == b"sound %d" % number
        assert row.media["text"].key == f"caption {number}"
        assert row.columns == {
            "breed": ["tabby", "poodle"][number % 2], "moods": ("calm", "kind"),
            "parts": ("tail", "ear"), "size": number + 0.5,
        }  # fmt: skip
    assert len({media.key for row in found for media in row.media.values()}) == 3 * 153
    assert {row.split for row in found} == {None}


def test_odd_batches_lose_no_row(tmp_path):
    save_to_disk(tmp_path / "pets", [table(0, 1)])
    write_stream(tmp_path / "pets/data-00000-of-00001.arrow", table(0, 200), batch=70)
    assert [row.media["text"].key for row in rows(tmp_path)] == [f"caption {n}" for n in range(200)]


def test_folders_of_dict_are_splits(tmp_path):
    save_dict(
        tmp_path / "pets", {"train": [table(0, 2)], "dev": [table(2, 1)], "test": [table(3, 1)]}
    )
    assert [row.split for row in rows(tmp_path)] == ["train", "train", "validation", "test"]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["data/test-00000-of-00001", "data/train-00000-of-00002", "data/train-00001-of-00002"],
         ["test", "train", "train"]),
        (["train-00000-of-00001-abc123", "val-00000-of-00001-abc123"], ["train", "validation"]),
        (["test", "train"], ["test", "train"]),
        (["default/test/0000", "default/train/0000"], ["test", "train"]),
        (["part-0", "part-1"], [None, None]),
    ],
)  # fmt: skip
def test_names_of_parquet_shards_are_splits(tmp_path, names, splits):
    save_parquet(tmp_path / "pets", [f"{name}.parquet" for name in names])
    found = rows(tmp_path)
    assert [row.row_id for row in found] == [f"pets/{name}.parquet:0" for name in names]
    assert [row.split for row in found] == splits
    assert found[0].media["image"].load() == b"image 0"
    assert found[0].columns["breed"] == "tabby"


def test_data_set_with_one_part_is_not_split(tmp_path):
    save_dict(tmp_path / "pets", {"train": [table(0, 2)]})
    assert [row.split for row in rows(tmp_path)] == [None, None]


def test_column_can_give_split_and_id(tmp_path):
    content = table(0, 2).append_column("part", [["test", "holdout"]])
    save_to_disk(tmp_path / "pets", [content.append_column("key", [["a", "b"]])])
    good, bad = rows(tmp_path, **COLUMNS, split="part", id="key")
    assert (good.row_id, good.split) == ("a", "test")
    assert (bad.row_id, bad.reason) == ("b", "split_unknown")


def test_path_replaces_missing_bytes(tmp_path):
    (tmp_path / "cat.png").write_bytes(b"cat")
    paths = ["cat.png", "../cat.png", "/cat.png", None]
    structs = [*({"bytes": None, "path": path} for path in paths), None]
    content = pa.table({"image": pa.array(structs, MEDIA), "caption": list("abcde")})
    save_to_disk(tmp_path / "pets", [content])
    found = rows(tmp_path, image="image", text="caption")
    assert found[0].media["image"].key == "cat.png"
    assert found[0].media["image"].load() == b"cat"
    assert [row.reason for row in found[1:3]] == ["path_outside", "path_absolute"]
    assert [list(row.media) for row in found[3:]] == [["text"], ["text"]]


def test_class_without_name_is_null_or_bad(tmp_path):
    labels = {"caption": list("abc"), "breed": pa.array([-1, None, 2], pa.int64())}
    save_to_disk(tmp_path / "pets", [pa.table(labels)])
    unknown, missing, bad = rows(tmp_path, text="caption")
    assert unknown.columns == missing.columns == {"breed": None}
    assert (bad.asset, bad.reason) == ("breed", "label_unknown")
    assert "class 2, expected 0 to 1" in bad.detail


def test_missing_column_is_named(tmp_path):
    save_to_disk(tmp_path / "pets", [table(0, 1)])
    with pytest.raises(InputError, match=r"source\.columns\.text: .* no column 'captoin'. Did you"):
        rows(tmp_path, text="captoin")


def test_unknown_split_is_refused(tmp_path):
    save_dict(tmp_path / "pets", {"train": [table(0, 1)], "unsupervised": [table(1, 1)]})
    with pytest.raises(InputError, match="has a split 'unsupervised', expected one of: train"):
        rows(tmp_path)


def test_shards_with_and_without_split_are_refused(tmp_path):
    save_parquet(tmp_path / "pets", ["train-00000-of-00001.parquet", "more.parquet"])
    with pytest.raises(InputError, match=r"more\.parquet names no split, and others do"):
        rows(tmp_path)


def test_files_called_like_splits_in_another_way_are_refused(tmp_path):
    save_parquet(tmp_path / "pets", ["train-0.parquet", "test-0.parquet"])
    with pytest.raises(InputError, match=r"like splits \(test, train\), but not as .*test-0\.par"):
        rows(tmp_path)


def test_folder_without_data_set_is_refused(tmp_path):
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets/cat.png").touch()
    with pytest.raises(InputError, match=r"pets is not a data set, .* holds cat\.png"):
        rows(tmp_path)
    with pytest.raises(InputError, match="Did you mean 'pets'?"):
        read(HuggingFaceSettings(path="pest", columns=COLUMNS), context(tmp_path))


@pytest.mark.parametrize("file", ["state.json", "dataset_info.json"])
def test_broken_json_is_named(tmp_path, file):
    save_to_disk(tmp_path / "pets", [table(0, 1)])
    (tmp_path / "pets" / file).write_text("{")
    with pytest.raises(InputError, match=f"{file} cannot be used"):
        rows(tmp_path)


def test_missing_shard_is_named(tmp_path):
    save_to_disk(tmp_path / "pets", [table(0, 1), table(1, 1)])
    (tmp_path / "pets/data-00001-of-00002.arrow").unlink()
    with pytest.raises(
        InputError, match=r"data-00001-of-00002\.arrow is missing, and .*state\.json"
    ):
        rows(tmp_path)


@pytest.mark.parametrize("fraction", [0, 0.001, 0.5])
def test_truncated_shard_is_refused(tmp_path, fraction):
    save_to_disk(tmp_path / "pets", [table(0, 500)])
    path = tmp_path / "pets/data-00000-of-00001.arrow"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(InputError, match="is not a complete Arrow stream"):
        rows(tmp_path)


def test_documented_settings_read_data_set(tmp_path):
    ingest = documented("Hugging Face")
    save_dict(tmp_path / "pets", {"train": [table(0, 1)], "test": [table(1, 1)]})
    found = list(read(ingest.source, context(tmp_path)))
    assert [row.split for row in found] == ["train", "test"]
    assert {modality for row in found for modality in row.media} == {"image", "text", "audio"}
    assert set(ingest.slices) <= found[0].columns.keys()
