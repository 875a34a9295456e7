"""Samples name their assets by rows; each distinct asset once."""

import pandas as pd
import pytest
import torch

from components.data.batches import Samples, asset_rows
from components.data.samples import asset_column
from tests.support.tiny_model import PRESENT, ids_of, make_assets, make_table

ASSETS = 7


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return make_table(40, ASSETS)


@pytest.fixture
def samples(table) -> Samples:
    rows = asset_rows(table, make_assets(ASSETS), PRESENT)
    return Samples(rows, {"number": torch.arange(len(table))})


def test_rows_are_those_of_the_table(samples, table):
    for m in PRESENT:
        ids = ids_of(m, ASSETS)
        found = [None if row < 0 else ids[row] for row in samples.rows[m].tolist()]
        assert found == [None if pd.isna(i) else i for i in table[asset_column(m)]]
    columns = list(map(asset_column, PRESENT))
    assert samples.presence.equal(torch.tensor(table[columns].notna().to_numpy()))


def test_modality_without_assets_is_missing(samples, table):
    assets = make_assets(ASSETS)
    del assets["audio"]
    rows = asset_rows(table, assets, PRESENT)
    part = Samples(rows, {})
    assert (part.rows["audio"] == -1).all() and len(part) == 40
    assert part.presence[:, :2].equal(samples.presence[:, :2])
    assert part.rows["text"].equal(samples.rows["text"])


def test_index_selects_rows_and_targets(samples):
    index = torch.tensor([3, 5, 5, 8])
    part = samples[index]
    assert len(part) == 4 and part.targets["number"].equal(index)
    assert all(part.rows[m].equal(samples.rows[m][index]) for m in PRESENT)


def test_compact_keeps_the_asset_of_each_sample(samples):
    for part in (samples, samples[torch.tensor([3, 5, 5, 8])], samples[torch.tensor([0])[:0]]):
        distinct, compact = part.compact()
        for m in PRESENT:
            rows, known = compact.rows[m], distinct.get(m, torch.zeros(1))
            back = torch.where(rows >= 0, known[rows.clamp(min=0)], -1)
            assert back.equal(part.rows[m])
            assert len(known.unique()) == len(known)
            assert set(rows.tolist()) - {-1} == set(range(len(distinct.get(m, ()))))
        assert compact.targets is part.targets


def test_compact_leaves_out_unused_modality(samples):
    without = samples.keep(torch.tensor([True, False, True]).expand(len(samples), -1))
    distinct, compact = without.compact()
    assert "text" not in distinct
    assert (compact.rows["text"] == -1).all()


def test_keep_only_takes_away(samples):
    torch.manual_seed(0)
    kept = torch.rand(len(samples), 3) < 0.5
    part = samples.keep(kept)
    assert part.presence.equal(samples.presence & kept)
    for place, m in enumerate(PRESENT):
        assert part.rows[m][kept[:, place]].equal(samples.rows[m][kept[:, place]])
