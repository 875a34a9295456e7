"""Weightings of losses; GradNorm against its paper written out."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from components.training.weighting.gradnorm import MAX_SLOPE, RATE
from components.training.weighting.registry import WEIGHTINGS
from components.training.weighting.settings import WEIGHTING_SETTINGS
from components.training.weighting.weighting import Weighting

PRIORS = {"answer": 1.0, "tags": 0.3, "size": 2.0, "reply": 0.5}
ALPHA = 1.5
BOTH = pytest.mark.parametrize("kind", WEIGHTINGS)


def make(kind: str) -> Weighting:
    options = {"alpha": ALPHA} if kind == "gradnorm" else {}
    return WEIGHTINGS[kind](PRIORS, WEIGHTING_SETTINGS[kind](**options))


def test_every_weighting_has_settings():
    assert WEIGHTINGS.keys() == WEIGHTING_SETTINGS.keys()


class Net(nn.Module):
    """One shared layer and one head per task; losses of different sizes."""

    def __init__(self):
        super().__init__()
        g = torch.Generator().manual_seed(0)
        self.shared = nn.Parameter(torch.randn(6, 5, generator=g))
        self.heads = nn.ParameterList(torch.randn(5, generator=g) for _ in PRIORS)
        self.sizes = (1.0, 5.0, 0.2, 2.0)

    def losses(self, step: int) -> dict[str, torch.Tensor]:
        g = torch.Generator().manual_seed(100 + step)
        x = torch.randn(12, 6, generator=g)
        hidden = torch.tanh(x @ self.shared)
        return {
            task: size * F.mse_loss(hidden @ head, torch.sin(x[:, place]))
            for place, (task, size, head) in enumerate(
                zip(PRIORS, self.sizes, self.heads, strict=True)
            )
        }


def trained(kind: str, steps: int, select=lambda step, losses: losses):
    """Return a net and its weighting after steps of plain descent, and the total losses."""
    net, weighting = Net(), make(kind)
    totals = []
    for step in range(steps):
        total = weighting(select(step, net.losses(step)), net.shared)
        net.zero_grad()
        total.backward()
        weighting.update()
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.grad is not None:
                    parameter -= 0.05 * parameter.grad
        totals.append(total.item())
    return net, weighting, totals


def test_fixed_is_the_sum_weighted_by_priors():
    losses = Net().losses(0)
    total = make("fixed")(losses, Net().shared)
    by_hand = sum(PRIORS[task] * loss.item() for task, loss in losses.items())
    assert total.item() == pytest.approx(by_hand, rel=1e-6)
    assert trained("fixed", 3)[1].weights.tolist() == [1.0] * 4
    assert not make("fixed").is_learnt and make("gradnorm").is_learnt


def test_gradnorm_is_algorithm_1_of_chen_et_al():
    """As it stands there: double backward through the norms of each task's gradient."""
    net, w, initial = Net(), torch.ones(4, requires_grad=True), None
    found, weighting, totals = trained("gradnorm", 20)
    for step in range(20):
        losses = torch.stack(list(net.losses(step).values()))
        initial = losses.detach() if initial is None else initial
        norms = torch.stack(
            [
                torch.autograd.grad(w[n] * losses[n], net.shared, create_graph=True)[0].norm()
                for n in range(4)
            ]
        )
        mean = norms.mean().detach()
        ratio = losses.detach() / initial
        target = (mean * (ratio / ratio.mean()) ** ALPHA).detach()
        slopes = torch.autograd.grad((norms - target).abs().sum(), w, retain_graph=True)[0]
        objective = sum(p * w[n].detach() * losses[n] for n, p in enumerate(PRIORS.values()))
        assert totals[step] == pytest.approx(objective.item(), rel=1e-4)
        gradients = torch.autograd.grad(objective, list(net.parameters()))
        with torch.no_grad():
            w -= RATE * (slopes / mean).clamp(-MAX_SLOPE, MAX_SLOPE)
            w *= 4 / w.sum()
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter -= 0.05 * gradient
    torch.testing.assert_close(weighting.weights, w.detach(), rtol=1e-4, atol=1e-5)
    assert weighting.weights.std() > 0.1  # they have moved
    for one, other in zip(net.parameters(), found.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_gradnorm_equalises_gradient_norms():
    def spread(weights: torch.Tensor) -> float:
        norms = [
            torch.autograd.grad(loss, net.shared, retain_graph=True)[0].norm()
            for loss in net.losses(0).values()
        ]
        weighted = weights * torch.stack(norms)
        return float(weighted.std() / weighted.mean())

    net, weighting = Net(), make("gradnorm")
    before = spread(weighting.weights)
    for _ in range(200):  # the net itself does not change
        weighting(net.losses(0), net.shared)
        weighting.update()
    assert spread(weighting.weights) < 0.1 * before


def test_gradnorm_weights_are_positive_and_sum_to_the_number_of_tasks():
    weighting = trained("gradnorm", 100)[1]
    assert weighting.weights.sum().item() == pytest.approx(4, rel=1e-5)
    assert (weighting.weights > 0).all()


@BOTH
def test_task_without_loss_keeps_its_weight(kind):
    def some(step, losses):
        return losses if step < 5 else {task: losses[task] for task in ("answer", "reply")}

    _, before, _ = trained(kind, 5, some)
    _, after, _ = trained(kind, 15, some)
    names = list(PRIORS)
    absent, present = [[names.index(n) for n in p] for p in (("tags", "size"), ("answer", "reply"))]
    assert after.weights[absent].equal(before.weights[absent])
    assert after.weights[present].equal(before.weights[present]) == (kind == "fixed")
    assert after.weights.sum().item() == pytest.approx(4, rel=1e-5)


@BOTH
def test_step_without_losses_changes_nothing(kind):
    net, weighting, _ = trained(kind, 5)
    before = copy.deepcopy(weighting.state_dict())
    weighting({}, net.shared).backward()
    weighting.update()
    assert all(value.equal(before[name]) for name, value in weighting.state_dict().items())


@BOTH
def test_micro_batches_teach_as_the_whole_batch(kind):
    whole, parts = make(kind), make(kind)
    net = Net()
    for step in range(3):
        halves = net.losses(2 * step), net.losses(2 * step + 1)
        mean = {task: (halves[0][task] + halves[1][task]) / 2 for task in PRIORS}
        total = whole(mean, net.shared)
        in_parts = sum(parts(half, net.shared) for half in halves) / 2
        torch.testing.assert_close(total, in_parts)
        whole.update()
        parts.update()
        torch.testing.assert_close(whole.weights, parts.weights)


@BOTH
def test_buffers_hold_all_state(kind):
    net, weighting, _ = trained(kind, 5)
    resumed = make(kind)
    resumed.load_state_dict(weighting.state_dict())
    for each in (weighting, resumed):
        each(net.losses(5), net.shared)
        each.update()
    assert resumed.weights.equal(weighting.weights)
    assert not list(weighting.parameters())  # nothing for the model's optimizer to decay
