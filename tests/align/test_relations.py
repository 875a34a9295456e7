"""Which assets belong together, against slow direct computation."""

import pandas as pd
import pytest
import torch

from components.align.relations import Pairs, Relations, Sharing, by_sample, by_task
from components.common.errors import InputError
from components.tasks.classification.settings import ClassificationSettings
from components.tasks.retrieval.settings import RetrievalSettings
from tests.support.tiny_model import PRESENT, ids_of, make_assets, make_table

ASSETS = 8
LEFT = torch.tensor([0, 0, 2, -1, 1, 2])
RIGHT = torch.tensor([1, 1, 0, 2, -1, 3])
TASK = RetrievalSettings(column="product", query="text", target="image", weight=0.5)


def rows_of(table: pd.DataFrame) -> dict[str, torch.Tensor]:
    assets = make_assets(ASSETS)
    return {m: assets[m].rows(table[f"{m}_id"]) for m in PRESENT}


def pairs_of(table: pd.DataFrame) -> Relations:
    return by_sample(table, rows_of(table), PRESENT)


def labelled(seed: int = 0, values: int = 6, missing: float = 0.3) -> pd.DataFrame:
    """Return random samples, a quarter of them without a product."""
    g = torch.Generator().manual_seed(seed)
    numbers = torch.randint(0, values, (60,), generator=g).tolist()
    unknown = (torch.rand(60, generator=g) < 0.25).tolist()
    products = [None if gone else f"p{n}" for n, gone in zip(numbers, unknown, strict=True)]
    return make_table(60, ASSETS, seed, missing).assign(product=products)


def values_of(table: pd.DataFrame, modality: str) -> dict[int, set[str]]:
    """Return the values of each asset, by its row."""
    found: dict[int, set[str]] = {}
    for asset, value in table[[f"{modality}_id", "product"]].dropna().itertuples(index=False):
        found.setdefault(ids_of(modality, ASSETS).index(asset), set()).add(value)
    return found


def test_pairs_are_distinct_and_complete():
    assert Pairs(LEFT, RIGHT).draw().tolist() == [[0, 1], [2, 0], [2, 3]]


def test_matrix_is_true_at_pairs():
    pairs = Pairs(LEFT, RIGHT)
    left, right = torch.tensor([2, 0, 1]), torch.tensor([3, 1, 0, 2])
    known = {tuple(row) for row in pairs.draw().tolist()}
    expected = [[(a, b) in known for b in right.tolist()] for a in left.tolist()]
    assert pairs.matrix(left, right).tolist() == expected


def test_pairs_are_those_of_a_split():
    table = make_table(60, ASSETS)
    for relation in pairs_of(table).values():
        a, b = relation.modalities
        for split, known in relation.splits.items():
            both = table.loc[table["split"] == split, [f"{a}_id", f"{b}_id"]].dropna()
            expected = {
                (ids_of(a, ASSETS).index(x), ids_of(b, ASSETS).index(y))
                for x, y in both.itertuples(index=False)
            }
            assert {tuple(row) for row in known.draw().tolist()} == expected


def test_modality_without_assets_has_no_pairs():
    table = make_table(60, ASSETS).assign(audio_id=pd.Series([None] * 60, dtype="str"))
    found = pairs_of(table)
    assert len(found["image and text"].splits["test"].sides()[0])
    for name in ("image and audio", "text and audio"):
        assert [len(known.draw()) for known in found[name].splits.values()] == [0, 0, 0]


@pytest.mark.parametrize("seed", [0, 1])
def test_assets_that_share_a_value_are_related(seed):
    table = labelled(seed)
    (relation,) = by_task(table, rows_of(table), {"t": TASK}).values()
    assert relation.modalities == ("text", "image") and relation.weight == 0.5
    for split, known in relation.splits.items():
        part = table[table["split"] == split]
        texts, images = values_of(part, "text"), values_of(part, "image")
        assert any(len(values) > 1 for values in images.values())
        every = torch.arange(ASSETS)
        expected = [
            [bool(texts.get(i, set()) & images.get(j, set())) for j in range(ASSETS)]
            for i in range(ASSETS)
        ]
        assert known.matrix(every, every).tolist() == expected
        some, others = torch.tensor([5, 0, 3]), torch.tensor([7, 2])
        picked = [[expected[i][j] for j in others.tolist()] for i in some.tolist()]
        assert known.matrix(some, others).tolist() == picked
        queries, targets = known.sides()
        assert queries.tolist() == [i for i in range(ASSETS) if any(expected[i])]
        assert targets.tolist() == sorted(images)  # those without a query too


def test_drawn_pairs_share_a_value_and_have_every_asset():
    table = labelled()
    (relation,) = by_task(table, rows_of(table), {"t": TASK}).values()
    part = table[table["split"] == "train"]
    texts, images = values_of(part, "text"), values_of(part, "image")
    known = relation.splits["train"]
    torch.manual_seed(0)
    pairs = [tuple(row) for row in known.draw().tolist()]
    assert all(texts[i] & images[j] for i, j in pairs)
    reached = [j for j in images if any(images[j] & values for values in texts.values())]
    assert {i for i, _ in pairs} == set(known.sides()[0].tolist())
    assert {j for _, j in pairs} == set(reached)
    of_value = [
        [sum(value in values for values in side.values()) for side in (texts, images)]
        for value in part["product"].dropna().unique()
    ]
    assert len(pairs) == sum(max(counts) for counts in of_value if all(counts))
    assert not known.draw().equal(torch.tensor(pairs))  # another time, other partners


def test_fewer_assets_are_drawn_equally_often():
    texts, images = torch.arange(6), torch.tensor([0, 1, -1, -1, -1, -1])
    drawn = Sharing(texts, images, torch.zeros(6, dtype=torch.int64)).draw()
    assert sorted(drawn[:, 0].tolist()) == list(range(6))
    assert sorted(drawn[:, 1].tolist()) == [0, 0, 0, 1, 1, 1]


def test_query_and_target_may_lie_in_different_samples():
    table = labelled(missing=0.0)
    text = torch.arange(60) % 2 == 0
    table.loc[text.numpy(), "image_id"] = None
    table.loc[~text.numpy(), "text_id"] = None
    rows = rows_of(table)
    pairs = pairs_of(table)["image and text"].splits
    assert not any(len(known.draw()) for known in pairs.values())
    (relation,) = by_task(table, rows, {"t": TASK}).values()
    assert all(len(known.draw()) for known in relation.splits.values())


def test_asset_ids_can_be_the_shared_value():
    """With `image_id` an image is right for every text that it has a sample with."""
    table = make_table(60, ASSETS)
    task = TASK.model_copy(update={"column": "image_id"})
    rows = rows_of(table)
    (relation,) = by_task(table, rows, {"t": task}).values()
    every = torch.arange(ASSETS)
    for split, pairs in pairs_of(table)["image and text"].splits.items():
        assert relation.splits[split].matrix(every, every).equal(pairs.matrix(every, every).T)


@pytest.mark.parametrize("lost", ["product", "text_id", "image_id"])
def test_task_without_pairs_is_refused(lost):
    table = labelled()
    table.loc[table["split"] == "train", lost] = None
    with pytest.raises(InputError, match="tasks.t: in the training split no text and no image"):
        by_task(table, rows_of(table), {"t": TASK})


def test_other_kinds_relate_nothing():
    table = labelled()
    other = ClassificationSettings(column="product")
    assert by_task(table, rows_of(table), {"t": other}) == {}
