"""Batches, losses and metrics of the alignment."""

import math
from dataclasses import replace
from itertools import combinations

import pandas as pd
import pytest
import torch
from torch import nn

from components.align.alignment import (
    RECALLS,
    Aligner,
    AlignmentData,
    AlignmentTraining,
    alignment_data,
)
from components.align.contrastive import LOSSES
from components.align.relations import Pairs, Relation, by_sample, by_task
from components.align.settings import AlignStageSettings
from components.tasks.retrieval.metrics import RANKS, RETRIEVAL_METRICS, rank_metrics
from components.tasks.retrieval.settings import RetrievalSettings
from tests.support.params import small_settings
from tests.support.tiny_model import PRESENT, ids_of, make_assets, make_model, make_table

ASSETS = 8
PAIRS = ("image and text", "image and audio", "text and audio")
NOTHING = Pairs(*torch.zeros(2, 0, dtype=torch.int64))
BOTH = pytest.mark.parametrize("loss", LOSSES)
SUBSETS = [subset for size in (2, 3) for subset in combinations(PRESENT, size)]
TASK = RetrievalSettings(column="answer", query="audio", target="text", weight=0.5)


def data_of(table: pd.DataFrame, **tasks: RetrievalSettings) -> AlignmentData:
    assets = make_assets(ASSETS, make_model())
    rows = {m: assets[m].rows(table[f"{m}_id"]) for m in PRESENT}
    pooled = {m: assets[m].tensors["pooled"] for m in PRESENT}
    pairs = by_sample(table, rows, PRESENT)
    return alignment_data(pooled, pairs, by_task(table, rows, tasks))


def run_of(
    data: AlignmentData, loss: str = "infonce", batch_size: int = 6, **options
) -> AlignmentTraining:
    """Return the training of a fresh aligner."""
    changes = {"loss": loss, "batch_size": batch_size, **options}
    changes = {f"align.{name}": value for name, value in changes.items()}
    settings = small_settings(AlignStageSettings, changes).align
    torch.manual_seed(0)
    return AlignmentTraining(settings, 0, None, data, Aligner(data, settings))


def without(data: AlignmentData, pair: str, split: str) -> AlignmentData:
    """Return the data without the pairs of two modalities in a split."""
    relation = data.pairs[pair]
    relation = replace(relation, splits={**relation.splits, split: NOTHING})
    return replace(data, pairs={**data.pairs, pair: relation})


@pytest.mark.parametrize("size", [4, 7, 1000])
def test_batches_hold_every_pair_and_have_one_size(size):
    data = data_of(make_table(60, ASSETS), find=TASK)
    run = run_of(data, batch_size=size)
    torch.manual_seed(0)
    parts = run.batches()
    for name in (*PAIRS, "find"):
        assert {len(part[name]) for part in parts} == {size}
    for name in PAIRS:
        rows = torch.cat([part[name] for part in parts])
        assert rows.unique(dim=0).equal(data.pairs[name].splits["train"].draw())
    queries = torch.cat([part["find"] for part in parts])[:, 0]
    assert queries.unique().equal(data.tasks["find"].splits["train"].sides()[0])


def test_task_changes_no_initial_weight():
    """So a project without retrieval tasks learns as before there were any."""
    plain, more = (run_of(data_of(make_table(60, ASSETS), **t)) for t in ({}, {"find": TASK}))
    weights = (run.aligner.projections.parameters() for run in (plain, more))
    assert all(a.equal(b) for a, b in zip(*weights, strict=True))


def test_pair_without_training_samples_has_no_batches():
    data = without(data_of(make_table(60, ASSETS)), PAIRS[0], "train")
    assert all(set(part) == set(PAIRS[1:]) for part in run_of(data).batches())


def test_modality_without_partner_in_training_is_left_out():
    table = make_table(60, ASSETS)
    table.loc[table["split"] == "train", "audio_id"] = None
    data = data_of(table)
    assert set(data.pairs) == {"image and text"}
    assert run_of(data).aligner.loss.relations == ("image and text",)
    table.loc[table["split"] == "train", "text_id"] = None
    assert data_of(table).pairs == {}


def test_modalities_related_through_a_third_are_kept():
    data = without(data_of(make_table(60, ASSETS)), "image and audio", "train")
    assert set(alignment_data(data.pooled, data.pairs, {}).pairs) == set(PAIRS)


def test_modalities_related_by_a_task_alone_are_learnt():
    table = make_table(60, ASSETS, missing=0.0)
    apart = table.index % 2 == 0
    table.loc[apart, ["image_id", "audio_id"]] = None
    table.loc[~apart, ["image_id", "text_id"]] = None
    assert data_of(table).pairs == {}
    data = data_of(table, find=TASK)
    assert set(data.pairs) == {"text and audio"}
    run = run_of(data)
    assert all(set(part) == {"find"} for part in run.batches())
    assert run.pair_recall("test") == {metric: {} for metric in RECALLS.values()}
    assert len(run.search(data.tasks["find"], "test"))


@BOTH
def test_losses_are_contrastive_over_the_assets_of_a_batch(loss):
    table = make_table(60, ASSETS)
    data = data_of(table, find=TASK)
    run = run_of(data, loss)
    batch, *_ = run.batches()
    found = run.losses(batch)
    part = table[table["split"] == "train"]
    for name, rows in batch.items():
        relation = data.relations[name]
        (a, b), weight = relation.modalities, 0.5 if name == "find" else 1.0
        column = "answer" if name == "find" else "sample_id"
        values = [
            part.groupby(f"{m}_id")[column].agg(set).reindex(ids_of(m, ASSETS)).tolist()
            for m in (a, b)
        ]
        left, right = sorted(set(rows[:, 0].tolist())), sorted(set(rows[:, 1].tolist()))
        positive = torch.tensor([[bool(values[0][i] & values[1][j]) for j in right] for i in left])
        embedded = [
            run.aligner.projections.embed(m, data.pooled[m][side])
            for m, side in zip((a, b), (left, right), strict=True)
        ]
        expected = weight * LOSSES[loss](["fresh"])("fresh", *embedded, positive)
        torch.testing.assert_close(found[name], expected)
    assert set(found) == {*PAIRS, "find"}


@BOTH
@pytest.mark.parametrize("present", SUBSETS, ids="+".join)
def test_every_subset_of_modalities_is_learnt(loss, present):
    table = make_table(60, ASSETS, missing=0.0)
    table[[f"{m}_id" for m in PRESENT if m not in present]] = None
    run = run_of(data_of(table), loss, batch_size=1000)
    assert set(run.data.pairs) == {f"{a} and {b}" for a, b in combinations(present, 2)}
    optimizer = torch.optim.AdamW(run.aligner.parameters(), 0.01)
    (batch,) = run.batches()
    values = []
    for _ in range(30):
        optimizer.zero_grad()
        total = run.total_loss(run.losses(batch))
        total.backward()
        optimizer.step()
        values.append(total.item())
    assert values[-1] < values[0]
    assert all(parameter.isfinite().all() for parameter in run.aligner.parameters())


@BOTH
def test_temperatures_are_clamped_before_use(loss):
    run = run_of(data_of(make_table(60, ASSETS)), loss)
    with torch.no_grad():
        run.aligner.loss.log_scale.fill_(math.log(1e6))
    run.losses(run.batches()[0])
    assert run.aligner.loss.log_scale.exp().tolist() == pytest.approx([100] * len(PAIRS))


class Identity(nn.Module):
    """The features are the embeddings."""

    projections = type("P", (), {"embed": staticmethod(lambda m, pooled: pooled)})


def test_recall_by_hand():
    """Two-dimensional embeddings whose partner is nearest, second or last."""
    angles = {"image": [0.0, 10.0, 90.0], "text": [1.0, 12.0, 91.0]}
    pooled = {
        m: torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in degrees])
        for m, degrees in angles.items()
    }
    known = Pairs(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 2, 1]))
    pairs = {"image and text": Relation(("image", "text"), 1.0, {"test": known})}
    data = AlignmentData(pooled, pairs, {})
    found = AlignmentTraining(None, 0, None, data, Identity()).pair_recall("test")
    # image 0 → text 0 ✓, image 1 (10°) → text 1 (12°) ✗, image 2 → text 2 ✓
    assert found[RECALLS[1]]["image to text"] == pytest.approx(2 / 3)
    # text 0 (1°) → image 0 ✓, text 1 (12°) → image 1 ✗ (its partner is image 2), text 2 ✓
    assert found[RECALLS[1]]["text to image"] == pytest.approx(2 / 3)
    assert found[RECALLS[5]] == {"image to text": 1.0, "text to image": 1.0}


def test_recall_is_of_pairs_that_occur():
    data = without(data_of(make_table(60, ASSETS)), PAIRS[0], "test")
    found = run_of(data).pair_recall("test")
    expected = {"image to audio", "audio to image", "text to audio", "audio to text"}
    assert set(found[RECALLS[1]]) == expected


def test_retrieval_tasks_are_validated_and_tabulated():
    data = data_of(make_table(60, ASSETS), find=TASK)
    run = run_of(data)
    run.aligner.eval()
    found = run.validate()
    ranks = run.search(data.tasks["find"], "validation").tolist()
    tasks = {metric.name: values["find"] for metric, values in found.items()}
    assert tasks == rank_metrics(ranks)
    assert set(found) == set(RETRIEVAL_METRICS)
    pairs = run.pair_recall("validation")
    assert set(found[RECALLS[1]]) == {"find"} | set(pairs[RECALLS[1]])
    table = RANKS.validate(run.rank_table({m: ids_of(m, ASSETS) for m in PRESENT}, "test"))
    queries, targets = data.tasks["find"].splits["test"].sides()
    assert table["asset_id"].tolist() == [ids_of("audio", ASSETS)[row] for row in queries.tolist()]
    assert table["rank"].tolist() == run.search(data.tasks["find"], "test").tolist()
    assert set(table["targets"]) == {len(targets)} and set(table["task"]) == {"find"}


def test_split_without_labels_has_no_figures():
    table = make_table(60, ASSETS)
    table.loc[table["split"] != "train", "answer"] = None
    data = data_of(table, find=TASK)
    run = run_of(data)
    assert "find" not in run.validate()[RECALLS[1]]
    assert run.rank_table({m: ids_of(m, ASSETS) for m in PRESENT}, "test").empty
