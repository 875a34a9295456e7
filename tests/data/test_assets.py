"""Tensors of assets, found by id, and the labels that assets have."""

import pandas as pd
import pytest
import torch

from components.common.errors import InputError
from components.data.assets import AssetTensors, label_votes, load_assets, majority_labels
from components.data.shards import finish
from tests.support.tiny_model import ids_of, make_assets, write_assets


def test_shard_set_is_loaded_whole(tmp_path):
    written = make_assets(5)["text"]
    write_assets(tmp_path / "text", tmp_path / "media", "text", written.tensors)
    loaded = load_assets(tmp_path / "text")
    assert loaded.ids == written.ids
    assert all(loaded.tensors[name].equal(value) for name, value in written.tensors.items())


def test_empty_shard_set_has_no_rows(tmp_path):
    finish(tmp_path, [], ".safetensors")
    assets = load_assets(tmp_path)
    assert assets == AssetTensors((), {})
    assert assets.rows(pd.Series([None, None], dtype="str")).tolist() == [-1, -1]
    with pytest.raises(InputError, match="1 assets of the samples are not in the shard set"):
        assets.rows(pd.Series([None, *ids_of("audio", 1)], dtype="str"))


def test_damaged_shard_is_named(tmp_path):
    write_assets(tmp_path / "text", tmp_path / "media", "text", make_assets(5)["text"].tensors)
    (shard,) = (tmp_path / "text").glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:99])
    with pytest.raises(InputError, match=f"{shard.name} is not safetensors: .*Delete it and run"):
        load_assets(tmp_path / "text")


def test_unknown_asset_is_named():
    known, unknown = ids_of("image", 5)[:4], ids_of("image", 5)[4]
    with pytest.raises(InputError, match=rf"the first is {unknown}.*dvc repro"):
        AssetTensors(tuple(known), {}).rows(pd.Series([known[2], unknown], dtype="str"))


def test_null_ids_have_row_minus_one():
    assets = AssetTensors(tuple(ids_of("text", 2)), {})
    assert assets.rows(pd.Series([None, None], dtype="str")).tolist() == [-1, -1]
    assert assets.rows(pd.Series([], dtype="str")).tolist() == []
    assert assets.rows(pd.Series([], dtype="str")).dtype == torch.int64


def test_labels_are_aligned_with_assets():
    a, b, c = ids_of("image", 3)
    labels = AssetTensors((b, a, c), {}).align(pd.Series({a: "x", b: "y"}))
    assert labels.tolist()[:2] == ["y", "x"] and pd.isna(labels[c])


@pytest.mark.parametrize(
    ("rows", "label"),
    [
        ("train x, train x", "x"),
        ("train y, train x, train x", "x"),
        ("train x, train y", None),
        ("train x, train y, train y, train x, train z", None),
        ("test y, test y, train x", "x"),  # no held-out label is learnt
        ("test y, validation x, test y", "x"),
        ("train x, train y, test y", None),
    ],
)
def test_most_frequent_label_of_an_asset_counts(rows, label):
    """None if there is a tie."""
    a, b = ids_of("image", 2)
    splits, labels = zip(*(row.split() for row in rows.split(", ")), strict=True)
    table = pd.DataFrame({"split": splits, "image_id": a, "shape": labels}, dtype="str")
    others = {"split": ["train"] * 2, "image_id": [b, None], "shape": [None, "y"]}
    table = pd.concat([table, pd.DataFrame(others, dtype="str")])
    found = majority_labels(label_votes(table, "image", "shape", str))
    assert found.to_dict() == ({} if label is None else {a: label})
