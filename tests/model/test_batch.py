"""Samples name their assets by rows; each distinct asset once."""

import pandas as pd
import pytest
import torch
from components.modalities.registry import MODALITIES

from components.common.errors import InputError
from components.data.assets import AssetTensors, asset_labels, load_assets
from components.data.batch import Samples, make_samples
from components.data.shards import finish
from tests.model.worlds import CLASSES, KINDS_OF, TASKS, ids_of, make_assets, make_table

ASSETS = 7


@pytest.fixture
def samples() -> Samples:
    return make_samples(make_table(40, ASSETS), make_assets(ASSETS), TASKS, KINDS_OF)


def test_rows_and_targets_are_those_of_the_table(samples):
    table = make_table(40, ASSETS)
    for m in MODALITIES:
        ids = ids_of(m, ASSETS)
        found = [None if row < 0 else ids[row] for row in samples.rows[m].tolist()]
        assert found == [None if pd.isna(i) else i for i in table[f"{m}_id"]]
    names = [CLASSES["answer"][code] for code in samples.targets["answer"].tolist()]
    assert names == list(table["answer"])
    assert samples.presence.equal(
        torch.tensor(table[[f"{m}_id" for m in MODALITIES]].notna().to_numpy())
    )


def test_an_unknown_or_missing_label_is_minus_one():
    table = make_table(3, ASSETS)
    table["answer"] = pd.Series(["b", None, "never seen"], dtype="str")
    targets = make_samples(table, make_assets(ASSETS), TASKS, KINDS_OF).targets
    assert targets["answer"].tolist() == [1, -1, -1]


def test_an_asset_that_is_not_in_the_set_is_named():
    table = make_table(10, ASSETS + 3)
    with pytest.raises(InputError, match=r"are not in the shard set.*dvc repro"):
        make_samples(table, make_assets(ASSETS), TASKS, KINDS_OF)


def test_a_modality_without_assets_is_missing_from_every_sample():
    table, assets = make_table(40, ASSETS), make_assets(ASSETS)
    whole = make_samples(table, assets, TASKS, KINDS_OF)
    del assets["audio"]
    part = make_samples(table, assets, TASKS, KINDS_OF)
    assert (part.rows["audio"] == -1).all() and len(part) == 40
    assert part.presence[:, :2].equal(whole.presence[:, :2])
    assert part.rows["text"].equal(whole.rows["text"])


def test_a_set_without_assets_is_loaded_and_holds_no_row(tmp_path):
    finish(tmp_path, [], ".safetensors")
    assets = load_assets(tmp_path)
    assert assets == AssetTensors((), {})
    assert assets.rows(pd.Series([None, None], dtype="str")).tolist() == [-1, -1]
    with pytest.raises(InputError, match=r"1 assets of the samples are not in the shard set"):
        assets.rows(pd.Series([None, *ids_of("audio", 1)], dtype="str"))


def test_compact_keeps_which_asset_each_sample_has(samples):
    for part in (samples, samples[torch.tensor([3, 5, 5, 8])]):
        distinct, compact = part.compact()
        for m in MODALITIES:
            back = torch.where(compact.rows[m] >= 0, distinct[m][compact.rows[m].clamp(min=0)], -1)
            assert back.equal(part.rows[m])
            assert len(distinct[m].unique()) == len(distinct[m])
            assert set(compact.rows[m].tolist()) - {-1} == set(range(len(distinct[m])))
        assert compact.targets is part.targets


def test_compact_leaves_out_a_modality_that_no_sample_has(samples):
    without = samples.keep(torch.tensor([True, False, True]).expand(len(samples), -1))
    distinct, compact = without.compact()
    assert "text" not in distinct
    assert (compact.rows["text"] == -1).all()


def test_keep_takes_away_and_never_gives(samples):
    torch.manual_seed(0)
    kept = torch.rand(len(samples), 3) < 0.5
    part = samples.keep(kept)
    assert part.presence.equal(samples.presence & kept)
    for place, m in enumerate(MODALITIES):
        assert part.rows[m][kept[:, place]].equal(samples.rows[m][kept[:, place]])


def test_labels_of_assets_and_a_contradiction():
    a, b = ids_of("image", 2)
    table = pd.DataFrame({"image_id": [a, a, b, None], "shape": ["x", "x", None, "y"]}, dtype="str")
    assert asset_labels(table, "image", "shape", str).to_dict() == {a: "x"}
    table.loc[1, "shape"] = "y"
    with pytest.raises(
        InputError, match=rf"image {a[:12]} has the labels 'x', 'y' in column 'shape'"
    ):
        asset_labels(table, "image", "shape", str)


def test_rows_of_ids_that_are_all_null():
    assets = AssetTensors(tuple(ids_of("text", 2)), {})
    assert assets.rows(pd.Series([None, None], dtype="str")).tolist() == [-1, -1]
    assert assets.rows(pd.Series([], dtype="str")).tolist() == []
