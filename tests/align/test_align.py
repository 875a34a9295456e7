"""Pairs, batches and retrieval of the align stage."""

import math

import pandas as pd
import pytest
import torch

from components.align.__main__ import (
    PAIRS,
    Aligner,
    Pairs,
    batches,
    find_pairs,
    losses,
    only_learnt,
    retrieval,
)
from components.config.settings import MODALITIES
from components.model.base.assets import AssetTensors
from components.model.base.projection import contrastive_loss
from tests.model.worlds import ids_of, make_assets, make_model, make_table

ASSETS = 8
LEFT = torch.tensor([0, 0, 2, -1, 1, 2])
RIGHT = torch.tensor([1, 1, 0, 2, -1, 3])


def world(missing: float = 0.3):
    assets = make_assets(ASSETS, make_model())
    pooled = {m: assets[m].tensors["pooled"] for m in MODALITIES}
    return assets, pooled, find_pairs(make_table(60, ASSETS, missing=missing), assets)


def test_pairs_are_distinct_and_leave_out_who_has_no_partner():
    assert Pairs.of(LEFT, RIGHT).rows.tolist() == [[0, 1], [2, 0], [2, 3]]


def test_the_matrix_says_of_each_two_assets_whether_they_are_a_pair():
    pairs = Pairs.of(LEFT, RIGHT)
    left, right = torch.tensor([2, 0, 1]), torch.tensor([3, 1, 0, 2])
    known = {tuple(row) for row in pairs.rows.tolist()}
    expected = [[(a, b) in known for b in right.tolist()] for a in left.tolist()]
    assert pairs.matrix(left, right).tolist() == expected


def test_pairs_are_found_in_every_split_alone():
    _, _, pairs = world()
    table = make_table(60, ASSETS)
    for split, found in pairs.items():
        part = table[table["split"] == split]
        for (a, b), known in found.items():
            both = part[[f"{a}_id", f"{b}_id"]].dropna()
            expected = {
                (ids_of(a, ASSETS).index(x), ids_of(b, ASSETS).index(y))
                for x, y in both.itertuples(index=False)
            }
            assert {tuple(row) for row in known.rows.tolist()} == expected


@pytest.mark.parametrize("size", [4, 7, 1000])
def test_batches_hold_every_pair_and_are_of_one_size(size):
    _, _, pairs = world()
    torch.manual_seed(0)
    parts = batches(pairs["train"], size)
    for pair in PAIRS:
        rows = torch.cat([part[pair] for part in parts])
        assert rows.unique(dim=0).equal(pairs["train"][pair].rows)
        assert {len(part[pair]) for part in parts} == {size}


def test_a_pair_of_modalities_that_never_meet_is_left_out():
    _, _, pairs = world()
    empty = {**pairs["train"], PAIRS[0]: Pairs(torch.zeros(0, 2, dtype=torch.int64))}
    assert all(PAIRS[0] not in part and PAIRS[1] in part for part in batches(empty, 8))


def test_a_modality_that_training_never_pairs_is_left_out_everywhere():
    assets, _, _ = world()
    table = make_table(60, ASSETS)
    table.loc[table["split"] == "train", "audio_id"] = None
    pairs = find_pairs(table, assets)
    assert len(pairs["test"]["image", "audio"].rows)
    assert all(set(found) == {("image", "text")} for found in only_learnt(pairs).values())
    table.loc[table["split"] == "train", "text_id"] = None
    assert all(found == {} for found in only_learnt(find_pairs(table, assets)).values())


def test_two_modalities_that_meet_only_through_a_third_are_kept():
    _, _, pairs = world()
    pairs["train"]["image", "audio"] = Pairs(torch.zeros(0, 2, dtype=torch.int64))
    assert all(set(found) == set(PAIRS) for found in only_learnt(pairs).values())


def test_a_modality_without_assets_has_no_pairs():
    assets, _, _ = world()
    table = make_table(60, ASSETS).assign(audio_id=pd.Series([None] * 60, dtype="str"))
    pairs = find_pairs(table, assets | {"audio": AssetTensors((), {})})
    assert len(pairs["test"]["image", "text"].rows)
    for found in pairs.values():
        assert not len(found["image", "audio"].rows) and not len(found["text", "audio"].rows)


def test_the_losses_are_contrastive_over_the_batch_s_assets():
    _, pooled, pairs = world()
    torch.manual_seed(0)
    aligner = Aligner({m: pooled[m].shape[1] for m in MODALITIES}, 6)
    (batch, *_) = batches(pairs["train"], 6)
    found = losses(aligner, pooled, pairs["train"], batch)
    for pair, rows in batch.items():
        left, right = sorted(set(rows[:, 0].tolist())), sorted(set(rows[:, 1].tolist()))
        known = {tuple(row) for row in pairs["train"][pair].rows.tolist()}
        positive = torch.tensor([[(a, b) in known for b in right] for a in left])
        embedded = [
            aligner.projections.embed(m, pooled[m][side])
            for m, side in zip(pair, (left, right), strict=True)
        ]
        expected = contrastive_loss(*embedded, positive, torch.tensor(1 / 0.07))
        torch.testing.assert_close(found["–".join(pair)], expected)


def test_the_temperature_has_a_limit():
    aligner = Aligner(dict.fromkeys(MODALITIES, 8), 6)
    assert float(aligner.scale(PAIRS[0]).detach()) == pytest.approx(1 / 0.07)
    with torch.no_grad():
        aligner.log_scale.fill_(math.log(1e6))
    assert float(aligner.scale(PAIRS[2]).detach()) == pytest.approx(100)


def test_retrieval_by_hand():
    """Two-dimensional embeddings; partners on purpose nearest, second or last."""

    class Plain(torch.nn.Module):
        projections = type("P", (), {"embed": staticmethod(lambda m, pooled: pooled)})

    angles = {"image": [0.0, 10.0, 90.0], "text": [1.0, 12.0, 91.0]}
    pooled = {
        m: torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in angles_])
        for m, angles_ in angles.items()
    }
    pairs = {("image", "text"): Pairs.of(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 2, 1]))}
    found = retrieval(Plain(), pooled, pairs)
    # image 0 → text 0 ✓, image 1 (10°) → text 1 (12°) ✗, image 2 → text 2 ✓
    assert found["recall_at_1"]["image→text"] == pytest.approx(2 / 3)
    # text 0 (1°) → image 0 ✓, text 1 (12°) → image 1 ✗ (its partner is image 2), text 2 ✓
    assert found["recall_at_1"]["text→image"] == pytest.approx(2 / 3)
    assert found["recall_at_5"] == {"image→text": 1.0, "text→image": 1.0}


def test_retrieval_knows_no_pair_that_never_occurs():
    _, pooled, pairs = world()
    aligner = Aligner({m: pooled[m].shape[1] for m in MODALITIES}, 6)
    empty = {**pairs["test"], PAIRS[0]: Pairs(torch.zeros(0, 2, dtype=torch.int64))}
    assert set(retrieval(aligner, pooled, empty)["recall_at_1"]) == {
        "image→audio", "audio→image", "text→audio", "audio→text",
    }  # fmt: skip
