"""Losses and scores that several parts share."""

import math

import pytest
import torch
from torch.nn import functional as F

from components.layers.losses import micro_f1, nt_xent, sparse_binary_cross_entropy


def test_nt_xent_is_equation_1_of_chen_et_al():
    g = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 4, 3, generator=g)
    views = F.normalize(torch.cat([first, second]), dim=1)
    losses = []
    for i in range(8):
        similar = {j: math.exp(7.0 * float(views[i] @ views[j])) for j in range(8) if j != i}
        losses.append(-math.log(similar[(i + 4) % 8] / sum(similar.values())))
    assert nt_xent(first, second, 7.0).item() == pytest.approx(sum(losses) / 8, rel=1e-5)


def test_sparse_cross_entropy_equals_dense():
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 5, generator=g)
    targets = torch.tensor(
        [[[1, 0.3], [4, 1.0]], [[0, 0], [0, 0]], [[2, 0.6], [0, 0]], [[math.nan] * 2] * 2]
    )
    dense = torch.zeros(3, 5)
    dense[0, 1], dense[0, 4], dense[2, 2] = 0.3, 1.0, 0.6
    expected = F.binary_cross_entropy_with_logits(logits[:3], dense, reduction="none").sum(1).mean()
    torch.testing.assert_close(sparse_binary_cross_entropy(logits, targets), expected)
    assert sparse_binary_cross_entropy(logits[3:], targets[3:]).item() == 0


def test_f1_of_no_decision_is_one():
    assert micro_f1(0, 0) == 1.0
    assert micro_f1(3, 8) == 0.75
