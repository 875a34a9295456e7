"""The contrastive loss against plain loops."""

import math

import pytest
import torch
from torch.nn import functional as F

from components.config.section import MODALITIES
from components.model.base.features import Features
from components.model.base.projection import Projections, contrastive_loss


def embeddings(n: int, m: int, seed: int = 0):
    g = torch.Generator().manual_seed(seed)
    draw = [torch.randn(size, 5, generator=g, dtype=torch.float64) for size in (n, m)]
    return [F.normalize(x, dim=1) for x in draw]


def in_loops(left, right, positive, scale) -> float:
    """Mean over the positive pairs, of both directions: -log(e^s / (e^s + Σ of negatives))."""

    def one_way(scores, pairs):
        losses = []
        for i in range(len(pairs)):
            for j in range(len(pairs[0])):
                if pairs[i][j]:
                    others = [
                        math.exp(s) for s, same in zip(scores[i], pairs[i], strict=True) if not same
                    ]
                    own = math.exp(scores[i][j])
                    losses.append(-math.log(own / (own + sum(others))))
        return sum(losses) / len(losses)

    scores = (scale * left @ right.T).tolist()
    turned = [list(column) for column in zip(*scores, strict=True)]
    pairs = positive.tolist()
    return 0.5 * (
        one_way(scores, pairs) + one_way(turned, [list(c) for c in zip(*pairs, strict=True)])
    )


@pytest.mark.parametrize(("n", "m"), [(4, 4), (6, 3), (1, 5)])
def test_the_loss_is_what_plain_loops_give(n, m):
    left, right = embeddings(n, m)
    g = torch.Generator().manual_seed(1)
    positive = torch.rand(n, m, generator=g) < 0.4
    positive[0, 0] = True
    found = contrastive_loss(left, right, positive, torch.tensor(7.0, dtype=torch.float64))
    assert float(found) == pytest.approx(in_loops(left, right, positive, 7.0), rel=1e-9)


def test_with_one_partner_each_it_is_the_loss_of_clip():
    left, right = embeddings(6, 6)
    logits, own = 7.0 * left @ right.T, torch.arange(6)
    clip = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    found = contrastive_loss(left, right, torch.eye(6, dtype=torch.bool), torch.tensor(7.0))
    torch.testing.assert_close(found, clip)


def test_without_a_positive_pair_it_is_zero_and_has_a_gradient_of_zero():
    left, right = embeddings(3, 3)
    left.requires_grad_()
    loss = contrastive_loss(left, right, torch.zeros(3, 3, dtype=torch.bool), torch.tensor(5.0))
    loss.backward()
    assert float(loss.detach()) == 0
    assert (left.grad == 0).all()


def test_where_all_are_positive_there_is_nothing_to_tell_apart():
    left, right = embeddings(3, 3)
    left.requires_grad_()
    loss = contrastive_loss(left, right, torch.ones(3, 3, dtype=torch.bool), torch.tensor(5.0))
    loss.backward()
    assert float(loss.detach()) == 0
    assert left.grad.isfinite().all()


def test_bringing_partners_together_lowers_it():
    left, right = embeddings(6, 6)
    eye = torch.eye(6, dtype=torch.bool)
    near = F.normalize(left + 0.1 * right, dim=1)
    scale = torch.tensor(5.0)
    assert contrastive_loss(left, near, eye, scale) < contrastive_loss(left, right, eye, scale)


def test_embeddings_have_length_one_and_tokens_keep_their_mask():
    widths = dict(zip(MODALITIES, (6, 4, 8), strict=True))
    projections = Projections(widths, 5)
    for m, width in widths.items():
        features = Features(torch.randn(3, 2, width), torch.rand(3, 2) < 0.5, torch.randn(3, width))
        projected = projections[m](features)
        assert projected.tokens.shape == (3, 2, 5)
        assert projected.mask is features.mask
        lengths = projections.embed(m, features.pooled).norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones(3))
