"""Batches, losses and what is measured in the align stage."""

import math
from itertools import combinations

import pandas as pd
import pytest
import torch
from components.modalities.registry import MODALITIES
from torch import nn

from components.align.__main__ import (
    Course,
    batches,
    losses,
    measure,
    only_learnt,
    recall,
    search,
    tabulate,
)
from components.align.contrast import LOSSES
from components.align.relations import Pairs, Relation, by_task, together
from components.data.tables import RANKS
from components.tasks.retrieval.labels import rank_metrics
from components.tasks.settings import TaskSettings
from tests.model.worlds import ids_of, make_assets, make_model, make_table
from tests.shrunk import small_settings

ASSETS = 8
PAIRS = ("image–text", "image–audio", "text–audio")
NOTHING = Pairs(torch.zeros(0, 2, dtype=torch.int64))
BOTH = pytest.mark.parametrize("loss", LOSSES)
SUBSETS = [subset for size in (2, 3) for subset in combinations(MODALITIES, size)]
TASK = TaskSettings(kind="retrieval", column="answer", query="audio", target="text", weight=0.5)


def course_of(table: pd.DataFrame, loss: str = "infonce", **tasks: TaskSettings) -> Course:
    assets = make_assets(ASSETS, make_model())
    rows = {m: assets[m].rows(table[f"{m}_id"]) for m in MODALITIES}
    pooled = {m: assets[m].tensors["pooled"] for m in MODALITIES}
    options = small_settings({"align.loss": loss}).align
    torch.manual_seed(0)
    return Course.of(pooled, together(table, rows), by_task(table, rows, tasks), options)


def without(course: Course, pair: str, split: str) -> None:
    """Take the pairs of two modalities out of a split."""
    course.pairs[pair].splits[split] = NOTHING


@pytest.mark.parametrize("size", [4, 7, 1000])
def test_batches_hold_every_pair_and_are_of_one_size(size):
    relations = course_of(make_table(60, ASSETS), find=TASK)
    torch.manual_seed(0)
    parts = batches(relations.pairs | relations.tasks, size)
    for name in (*PAIRS, "find"):
        assert {len(part[name]) for part in parts} == {size}
    for name in PAIRS:
        rows = torch.cat([part[name] for part in parts])
        assert rows.unique(dim=0).equal(relations.pairs[name].splits["train"].rows)
    queries = torch.cat([part["find"] for part in parts])[:, 0]
    assert queries.unique().equal(relations.tasks["find"].splits["train"].sides()[0])


def test_a_task_draws_nothing_that_others_would_have_drawn():
    """So that a project without retrieval tasks learns what it learnt before there were any."""
    plain, more = (course_of(make_table(60, ASSETS), **t) for t in ({}, {"find": TASK}))
    for a, b in zip(plain.aligner.projections.parameters(), more.aligner.projections.parameters(),
                    strict=True):  # fmt: skip
        assert a.equal(b)


def test_a_pair_of_modalities_that_never_meet_is_left_out():
    course = course_of(make_table(60, ASSETS))
    without(course, PAIRS[0], "train")
    assert all(set(part) == set(PAIRS[1:]) for part in batches(course.pairs, 8))


def test_a_modality_that_training_never_pairs_is_left_out():
    table = make_table(60, ASSETS)
    table.loc[table["split"] == "train", "audio_id"] = None
    course = course_of(table)
    assert set(course.pairs) == {"image–text"}
    assert course.aligner.contrast.relations == ("image–text",)
    table.loc[table["split"] == "train", "text_id"] = None
    assert course_of(table).pairs == {}


def test_two_modalities_that_meet_only_through_a_third_are_kept():
    course = course_of(make_table(60, ASSETS))
    without(course, "image–audio", "train")
    assert set(only_learnt(course.pairs, {})) == set(PAIRS)


def test_two_modalities_that_only_a_task_relates_are_learnt():
    table = make_table(60, ASSETS, missing=0.0)
    apart = table.index % 2 == 0
    table.loc[apart, ["image_id", "audio_id"]] = None
    table.loc[~apart, ["image_id", "text_id"]] = None
    assert course_of(table).pairs == {}
    course = course_of(table, find=TASK)
    assert set(course.pairs) == {"text–audio"}
    assert all(set(part) == {"find"} for part in batches(course.pairs | course.tasks, 8))
    assert recall(course, "test") == {"recall_at_1": {}, "recall_at_5": {}}
    assert len(search(course, course.tasks["find"], "test"))


@BOTH
def test_the_losses_are_contrastive_over_the_batch_s_assets(loss):
    table = make_table(60, ASSETS)
    course = course_of(table, loss, find=TASK)
    (batch, *_) = batches(course.pairs | course.tasks, 6)
    found = losses(course, batch)
    part = table[table["split"] == "train"]
    for name, rows in batch.items():
        relation = (course.pairs | course.tasks)[name]
        (a, b), weight = relation.modalities, 0.5 if name == "find" else 1.0
        column = "answer" if name == "find" else "sample_id"
        values = [
            part.groupby(f"{m}_id")[column].agg(set).reindex(ids_of(m, ASSETS)).tolist()
            for m in (a, b)
        ]
        left, right = sorted(set(rows[:, 0].tolist())), sorted(set(rows[:, 1].tolist()))
        positive = torch.tensor([[bool(values[0][i] & values[1][j]) for j in right] for i in left])
        embedded = [
            course.aligner.projections.embed(m, course.pooled[m][side])
            for m, side in zip((a, b), (left, right), strict=True)
        ]
        expected = weight * LOSSES[loss](["fresh"])("fresh", *embedded, positive)
        torch.testing.assert_close(found[name], expected)
    assert set(found) == {*PAIRS, "find"}


@BOTH
@pytest.mark.parametrize("present", SUBSETS, ids="+".join)
def test_every_subset_of_modalities_is_learnt_with_either_loss(loss, present):
    table = make_table(60, ASSETS, missing=0.0)
    table[[f"{m}_id" for m in MODALITIES if m not in present]] = None
    course = course_of(table, loss)
    assert set(course.pairs) == {f"{a}–{b}" for a, b in combinations(present, 2)}
    optimiser = torch.optim.AdamW(course.aligner.parameters(), 0.01)
    (batch,) = batches(course.pairs, 1000)
    values = []
    for _ in range(30):
        optimiser.zero_grad()
        total = torch.stack(list(losses(course, batch).values())).sum()
        total.backward()
        optimiser.step()
        values.append(total.item())
    assert values[-1] < values[0]
    assert all(parameter.isfinite().all() for parameter in course.aligner.parameters())


@BOTH
def test_temperatures_are_brought_back_before_they_are_used(loss):
    course = course_of(make_table(60, ASSETS), loss)
    with torch.no_grad():
        course.aligner.contrast.log_scale.fill_(math.log(1e6))
    losses(course, batches(course.pairs, 6)[0])
    assert course.aligner.contrast.log_scale.exp().tolist() == pytest.approx([100] * len(PAIRS))


class Plain(nn.Module):
    """The features are the embeddings."""

    projections = type("P", (), {"embed": staticmethod(lambda m, pooled: pooled)})


def test_recall_by_hand():
    """Two-dimensional embeddings; partners on purpose nearest, second or last."""
    angles = {"image": [0.0, 10.0, 90.0], "text": [1.0, 12.0, 91.0]}
    pooled = {
        m: torch.tensor([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in angles_])
        for m, angles_ in angles.items()
    }
    known = Pairs.of(torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 2, 1]))
    pairs = {"image–text": Relation(("image", "text"), 1.0, {"test": known})}
    found = recall(Course(Plain(), pooled, pairs, {}), "test")
    # image 0 → text 0 ✓, image 1 (10°) → text 1 (12°) ✗, image 2 → text 2 ✓
    assert found["recall_at_1"]["image→text"] == pytest.approx(2 / 3)
    # text 0 (1°) → image 0 ✓, text 1 (12°) → image 1 ✗ (its partner is image 2), text 2 ✓
    assert found["recall_at_1"]["text→image"] == pytest.approx(2 / 3)
    assert found["recall_at_5"] == {"image→text": 1.0, "text→image": 1.0}


def test_recall_knows_no_pair_that_never_occurs():
    course = course_of(make_table(60, ASSETS))
    without(course, PAIRS[0], "test")
    assert set(recall(course, "test")["recall_at_1"]) == {
        "image→audio", "audio→image", "text→audio", "audio→text",
    }  # fmt: skip


def test_tasks_are_measured_by_epoch_and_tabulated_for_the_test_split():
    course = course_of(make_table(60, ASSETS), find=TASK)
    course.aligner.eval()
    found = measure(course)
    ranks = search(course, course.tasks["find"], "validation")
    assert {metric: values["find"] for metric, values in found.items()} == rank_metrics(ranks)
    assert set(found["recall_at_1"]) == {"find"} | set(recall(course, "validation")["recall_at_1"])
    table = RANKS.validate(tabulate(course, {m: ids_of(m, ASSETS) for m in MODALITIES}))
    queries, targets = course.tasks["find"].splits["test"].sides()
    assert table["asset_id"].tolist() == [ids_of("audio", ASSETS)[row] for row in queries.tolist()]
    assert table["rank"].tolist() == search(course, course.tasks["find"], "test").tolist()
    assert set(table["targets"]) == {len(targets)} and set(table["task"]) == {"find"}


def test_a_split_without_an_answer_has_no_figures():
    table = make_table(60, ASSETS)
    table.loc[table["split"] != "train", "answer"] = None
    course = course_of(table, find=TASK)
    assert "find" not in measure(course)["recall_at_1"]
    assert tabulate(course, {m: ids_of(m, ASSETS) for m in MODALITIES}).empty
