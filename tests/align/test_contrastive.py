"""Contrastive losses: against plain loops, against open_clip, and at their limits."""

import math

import pytest
import torch
from torch.nn import functional as F

from components.align.contrastive import LOSSES

ONE_TO_ONE = torch.eye(6, dtype=torch.bool)


def number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def loss_of(name: str, scale: float, bias: float = 0.0):
    """Return a loss of one relation with this inverse temperature and bias, in double precision."""
    loss = LOSSES[name](["a"]).double()
    with torch.no_grad():
        loss.log_scale.fill_(math.log(scale))
        if name == "sigmoid":
            loss.bias.fill_(bias)
    return loss


def embeddings(n: int, m: int, seed: int = 0) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    draw = [torch.randn(size, 5, generator=g, dtype=torch.float64) for size in (n, m)]
    return [F.normalize(x, dim=1).requires_grad_() for x in draw]


def pairs(n: int, m: int) -> torch.Tensor:
    """Return which of n and m belong together: some have no partner, some several."""
    positive = torch.rand(n, m, generator=torch.Generator().manual_seed(1)) < 0.4
    positive[0, 0] = True
    return positive


def infonce_in_loops(left, right, positive, scale) -> float:
    """Mean over the positive pairs, of both directions: -log(e^s / (e^s + Σ of negatives))."""

    def one_way(scores, known):
        losses = []
        for i in range(len(known)):
            for j in range(len(known[0])):
                if known[i][j]:
                    others = [
                        math.exp(s) for s, same in zip(scores[i], known[i], strict=True) if not same
                    ]
                    own = math.exp(scores[i][j])
                    losses.append(-math.log(own / (own + sum(others))))
        return sum(losses) / len(losses)

    scores, known = scale * left @ right.T, positive
    return 0.5 * (
        one_way(scores.tolist(), known.tolist()) + one_way(scores.T.tolist(), known.T.tolist())
    )


def sigmoid_in_loops(left, right, positive, scale, bias) -> float:
    """Over all pairs -log σ(z (t x·y + b)), z = ±1; for each positive pair."""
    total = 0.0
    for x, row in zip(left, positive.tolist(), strict=True):
        for y, same in zip(right, row, strict=True):
            z = 1 if same else -1
            total += math.log(1 + math.exp(-z * (scale * (x @ y).item() + bias)))
    return total / int(positive.sum())


SHAPES = pytest.mark.parametrize(("n", "m"), [(4, 4), (6, 3), (1, 5)])
BOTH = pytest.mark.parametrize("name", LOSSES)


@SHAPES
def test_infonce_equals_plain_loops(n, m):
    left, right = embeddings(n, m)
    positive = pairs(n, m)
    found = loss_of("infonce", 7.0)("a", left, right, positive).item()
    assert found == pytest.approx(infonce_in_loops(left, right, positive, 7.0), rel=1e-9)


@SHAPES
def test_sigmoid_equals_plain_loops(n, m):
    left, right = embeddings(n, m)
    positive = pairs(n, m)
    found = loss_of("sigmoid", 7.0, -3.0)("a", left, right, positive).item()
    assert found == pytest.approx(sigmoid_in_loops(left, right, positive, 7.0, -3.0), rel=1e-9)


def open_clip_losses() -> dict:
    from open_clip.loss import ClipLoss, SigLipLoss  # takes seconds

    return {
        "infonce": lambda left, right, scale, bias: ClipLoss()(left, right, scale),
        "sigmoid": SigLipLoss(),
    }


@BOTH
@pytest.mark.parametrize("scale", [0.5, 10.0, 100.0])
@pytest.mark.parametrize("bias", [-10.0, 2.0])
def test_one_to_one_pairs_equal_open_clip(name, scale, bias):
    loss, ours = loss_of(name, scale, bias), embeddings(6, 6)
    value = loss("a", *ours, ONE_TO_ONE)
    theirs = embeddings(6, 6)
    log_scale, other_bias = (number(v).requires_grad_() for v in (math.log(scale), bias))
    expected = open_clip_losses()[name](*theirs, log_scale.exp(), other_bias)
    for result in (value, expected):
        result.backward()
    learnt = [log_scale, other_bias] if name == "sigmoid" else [log_scale]  # InfoNCE has no bias
    gradients = zip([*ours, *loss.parameters()], [*theirs, *learnt], strict=True)
    for found, other in [(value, expected), *((one.grad, two.grad) for one, two in gradients)]:
        torch.testing.assert_close(found.squeeze(), other.squeeze(), rtol=1e-9, atol=1e-12)


@BOTH
def test_initial_values_are_those_of_the_papers(name):
    loss = LOSSES[name](["a", "b"])
    scale = {"infonce": 1 / 0.07, "sigmoid": 10.0}[name]
    assert loss.scale("b").item() == pytest.approx(scale)
    learnt = {key: value.shape for key, value in loss.named_parameters()}
    bias = {"bias": (2,)} if name == "sigmoid" else {}
    assert learnt == {"log_scale": (2,), **bias}
    assert name == "infonce" or loss.bias.tolist() == [-10.0, -10.0]


@BOTH
def test_each_relation_has_its_temperature(name):
    loss = LOSSES[name](["a", "b"])
    with torch.no_grad():
        loss.log_scale[1] = math.log(3.0)
    left, right = (x.detach().float() for x in embeddings(6, 6))
    values = {relation: loss(relation, left, right, ONE_TO_ONE) for relation in "ab"}
    assert values["a"] != values["b"]
    values["b"].backward()
    for parameter in loss.parameters():
        assert parameter.grad[0] == 0 and parameter.grad[1] != 0


@BOTH
def test_assets_with_the_same_partner_are_no_negatives(name):
    """Both approach it; how near one of them is does not matter to the other."""
    (left, right), loss = embeddings(3, 1), LOSSES[name](["a"]).double()
    positive = torch.tensor([[True], [True], [False]])
    loss("a", left, right, positive).backward()
    nearer = -left.grad @ right.detach().T > 0  # after a step, [3, 1]
    assert nearer.equal(positive)

    def of_the_first(second: torch.Tensor) -> torch.Tensor:
        """The gradient of the first asset where the second lies elsewhere."""
        first = left.detach()[:1].requires_grad_()
        moved = torch.cat([first, second, left.detach()[2:]])
        (gradient,) = torch.autograd.grad(loss("a", moved, right.detach(), positive), first)
        return gradient

    near, far = right.detach()[:1], -right.detach()[:1]
    torch.testing.assert_close(of_the_first(near), of_the_first(far))


@BOTH
def test_partners_of_all_are_pushed_away_from_none(name):
    left, right = embeddings(3, 3)
    loss = LOSSES[name](["a"]).double()("a", left, right, torch.ones(3, 3, dtype=torch.bool))
    loss.backward()
    assert left.grad.isfinite().all()
    assert name == "sigmoid" or loss.item() == 0  # nothing to tell them apart from
    assert (-left.grad * right.detach().sum(0)).sum(1).min() >= 0


@BOTH
def test_loss_without_positive_pair_is_finite(name):
    left, right = embeddings(3, 3)
    loss = LOSSES[name](["a"]).double()("a", left, right, torch.zeros(3, 3, dtype=torch.bool))
    loss.backward()
    assert loss.isfinite() and left.grad.isfinite().all()
    assert name == "sigmoid" or (loss.item() == 0 and (left.grad == 0).all())


@BOTH
def test_nearer_partners_have_a_lower_loss(name):
    left, right = embeddings(6, 6)
    near = F.normalize(left + 0.1 * right, dim=1)
    loss = LOSSES[name](["a"]).double()
    assert loss("a", left, near, ONE_TO_ONE) < loss("a", left, right, ONE_TO_ONE)


@BOTH
@pytest.mark.parametrize("log_scale", [-30.0, 0.0, math.log(100), 12.0])
def test_no_temperature_overflows(name, log_scale):
    loss = LOSSES[name](["a"])
    with torch.no_grad():
        loss.log_scale.fill_(log_scale)
    left, right = (x.detach().float().requires_grad_() for x in embeddings(6, 6))
    value = loss("a", left, right, pairs(6, 6))
    value.backward()
    assert value.isfinite()
    for tensor in (left, right, *loss.parameters()):
        assert tensor.grad.isfinite().all()


@BOTH
def test_clamped_temperature_is_still_learnt(name):
    loss = LOSSES[name](["a"])
    with torch.no_grad():
        loss.log_scale.fill_(math.log(1e6))
    loss.clamp()
    assert loss.scale("a").item() == pytest.approx(100)
    left, right = (x.detach().float() for x in embeddings(6, 6))
    loss("a", left, right, ONE_TO_ONE).backward()
    assert loss.log_scale.grad.item() > 0  # a step leads away from the limit
