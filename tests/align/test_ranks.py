"""Ranks, against slow direct computation, and ties."""

import pytest
import torch
from torch.nn import functional as F

from components.align import alignment
from components.align.alignment import TOLERANCE, ranks


def by_hand(queries, targets, right) -> list[int]:
    found = []
    for query, known in zip(queries, right.tolist(), strict=True):
        similarity = [float(query.double() @ target.double()) for target in targets]
        best = max(s for s, here in zip(similarity, known, strict=True) if here)
        wrong = [s for s, here in zip(similarity, known, strict=True) if not here]
        found.append(1 + sum(s > best - TOLERANCE for s in wrong))
    return found


def random_search(queries: int, targets: int, fraction: float):
    """Return queries, targets, and which fraction of the targets is right for each query."""
    g = torch.Generator().manual_seed(queries)
    x, y = (F.normalize(torch.randn(n, 4, generator=g), dim=1) for n in (queries, targets))
    right = torch.rand(queries, targets, generator=g) < fraction
    right[torch.arange(queries), torch.randint(0, targets, (queries,), generator=g)] = True
    return x, y, right


@pytest.mark.parametrize("cells", [1, 50, 1 << 24])  # one query at a time, some, all at once
@pytest.mark.parametrize("fraction", [0.0, 0.2])  # one right target per query, or several
def test_ranks_equal_direct_computation(fraction, cells, monkeypatch):
    monkeypatch.setattr(alignment, "MAX_CELLS", cells)
    x, y, right = random_search(30, 17, fraction)
    found = ranks(x, y, lambda part: right[part])
    assert found.tolist() == by_hand(x, y, right)
    assert found.min() == 1 and found.max() > 5


def test_right_target_comes_last_in_a_tie():
    """All assets are equal: each right one comes after all that are wrong."""
    x, y = torch.ones(3, 1), torch.ones(7, 1)
    right = torch.zeros(3, 7, dtype=torch.bool)
    right[0, 0] = right[1, 6] = right[2] = True
    right[1, 2] = True
    assert ranks(x, y, lambda part: right[part]).tolist() == [7, 6, 1]


def test_rounding_error_is_a_tie():
    x = F.normalize(torch.randn(1, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    y = torch.cat([x, x * (1 - 1e-7), x * 0.9])
    right = torch.tensor([[True, False, False]])
    assert ranks(x, y, lambda part: right[part]).tolist() == [2]


def test_further_right_targets_do_not_count():
    x = torch.tensor([[1.0, 0.0]])
    y = torch.tensor([[0.9, 0.1], [1.0, 0.0], [0.8, 0.2], [0.0, 1.0]])
    right = torch.tensor([[False, False, True, True]])
    assert ranks(x, y, lambda part: right[part]).tolist() == [3]
    right = torch.tensor([[True, False, True, True]])
    assert ranks(x, y, lambda part: right[part]).tolist() == [2]
