"""Ways to weigh losses, against their papers written out."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from components.tasks.task_kinds import KINDS
from components.training.weighting import WEIGHTINGS
from components.training.weighting.weighting import RATE, STEEPEST
from tests.model.worlds import EVERY_TASK, EVERY_VOCABULARY
from tests.shrunk import small_settings

PRIOR = [1.0, 0.3, 2.0, 0.5]
TASKS = {
    name: EVERY_TASK[name].model_copy(update={"weight": weight})
    for name, weight in zip(("answer", "tags", "size", "reply"), PRIOR, strict=True)
}
KINDS_OF = {name: KINDS[task.kind](**EVERY_VOCABULARY[name]) for name, task in TASKS.items()}
ALPHA = 1.5


def make(way: str):
    settings = small_settings({"train.weighting": way, "train.gradnorm_alpha": ALPHA})
    return WEIGHTINGS[way](TASKS, KINDS_OF, settings.train)


class Net(nn.Module):
    """One shared layer and a head a task; the losses of different size."""

    def __init__(self):
        super().__init__()
        g = torch.Generator().manual_seed(0)
        self.shared = nn.Parameter(torch.randn(6, 5, generator=g))
        self.heads = nn.ParameterList(torch.randn(5, generator=g) for _ in TASKS)
        self.sizes = (1.0, 5.0, 0.2, 2.0)

    def losses(self, step: int) -> dict[str, torch.Tensor]:
        g = torch.Generator().manual_seed(100 + step)
        x, hidden = torch.randn(12, 6, generator=g), None
        hidden = torch.tanh(x @ self.shared)
        return {
            task: size * F.mse_loss(hidden @ head, torch.sin(x[:, place]))
            for place, (task, size, head) in enumerate(
                zip(TASKS, self.sizes, self.heads, strict=True)
            )
        }


def trained(way: str, steps: int, seen=lambda step, losses: losses):
    """A net and its weighting after some steps of plain descent, and the totals on the way."""
    net, weighting = Net(), make(way)
    totals = []
    for step in range(steps):
        total = weighting(seen(step, net.losses(step)), net.shared)
        net.zero_grad()
        total.backward()
        weighting.update()
        with torch.no_grad():
            for parameter in net.parameters():
                if parameter.grad is not None:
                    parameter -= 0.05 * parameter.grad
        totals.append(total.item())
    return net, weighting, totals


def test_fixed_is_the_sum_of_what_the_user_weighed():
    losses = Net().losses(0)
    total = make("fixed")(losses, Net().shared)
    by_hand = sum(p * loss.item() for p, loss in zip(PRIOR, losses.values(), strict=True))
    assert total.item() == pytest.approx(by_hand, rel=1e-6)
    assert trained("fixed", 3)[1].weights.tolist() == [1.0] * 4


def test_uncertainty_descends_the_likelihood_of_kendall_et_al():
    """Model and log variances together by autograd on equations 5 and 10, as they stand."""
    net, s = Net(), torch.zeros(4, requires_grad=True)
    found, weighting, totals = trained("uncertainty", 20)
    for step in range(20):
        losses = net.losses(step)
        variance = torch.exp(s)
        parts = []
        for place, (task, loss) in enumerate(losses.items()):
            sigma = variance[place].sqrt()
            if TASKS[task].kind == "regression":
                likelihood = loss / (2 * sigma**2) + torch.log(sigma)
            else:
                likelihood = loss / sigma**2 + torch.log(sigma)
            parts.append(likelihood)
        data = sum(
            p * (part - 0.5 * s[n]) for n, (p, part) in enumerate(zip(PRIOR, parts, strict=True))
        )
        assert totals[step] == pytest.approx(data.item(), rel=1e-4)
        slopes = torch.autograd.grad(sum(parts), s, retain_graph=True)[0]
        objective = sum(p * part for p, part in zip(PRIOR, parts, strict=True))
        gradients = torch.autograd.grad(objective, list(net.parameters()))
        with torch.no_grad():
            s -= RATE * slopes.clamp(-STEEPEST, STEEPEST)
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter -= 0.05 * gradient
    torch.testing.assert_close(weighting.log_variances, s.detach(), rtol=1e-4, atol=1e-5)
    for one, other in zip(net.parameters(), found.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_uncertainty_comes_to_rest_where_the_noise_is_the_loss():
    """∂/∂s = 0 at σ² = L for a squared error (its variance), at σ² = 2 L for a cross-entropy."""
    weighting, shared = make("uncertainty"), nn.Parameter(torch.zeros(1))
    losses = dict(zip(TASKS, torch.tensor([0.5, 2.0, 0.3, 0.1]), strict=True))
    for _ in range(2000):
        weighting(losses, shared)
        weighting.update()
    variances = torch.exp(weighting.log_variances)
    torch.testing.assert_close(variances, torch.tensor([1.0, 4.0, 0.3, 0.2]), rtol=1e-3, atol=0)


def test_gradnorm_is_algorithm_1_of_chen_et_al():
    """Against it as it stands: double backward through the norms of each task's gradient."""
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
        objective = sum(p * w[n].detach() * losses[n] for n, p in enumerate(PRIOR))
        assert totals[step] == pytest.approx(objective.item(), rel=1e-4)
        gradients = torch.autograd.grad(objective, list(net.parameters()))
        with torch.no_grad():
            w -= RATE * (slopes / mean).clamp(-STEEPEST, STEEPEST)
            w *= 4 / w.sum()
            for parameter, gradient in zip(net.parameters(), gradients, strict=True):
                parameter -= 0.05 * gradient
    torch.testing.assert_close(weighting.weights, w.detach(), rtol=1e-4, atol=1e-5)
    assert weighting.weights.std() > 0.1  # they have moved
    for one, other in zip(net.parameters(), found.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_gradnorm_brings_the_gradients_of_all_tasks_together():
    def spread(weights: torch.Tensor) -> float:
        norms = [torch.autograd.grad(loss, net.shared, retain_graph=True)[0].norm()
                 for loss in net.losses(0).values()]  # fmt: skip
        weighted = weights * torch.stack(norms)
        return float(weighted.std() / weighted.mean())

    net, weighting = Net(), make("gradnorm")
    before = spread(weighting.weights)
    for _ in range(200):  # the net rests
        weighting(net.losses(0), net.shared)
        weighting.update()
    assert spread(weighting.weights) < 0.1 * before


def test_gradnorm_s_weights_sum_to_the_number_of_tasks_and_stay_positive():
    weighting = trained("gradnorm", 300)[1]
    assert weighting.weights.sum().item() == pytest.approx(4, rel=1e-5)
    assert (weighting.weights > 0).all()


@pytest.mark.parametrize("way", WEIGHTINGS)
def test_a_task_that_a_step_has_no_loss_of_is_not_moved(way):
    def some(step, losses):
        return losses if step < 5 else {task: losses[task] for task in ("answer", "reply")}

    _, before, _ = trained(way, 5, some)
    _, after, _ = trained(way, 15, some)
    names = list(TASKS)
    gone, here = [names.index("tags"), names.index("size")], [names.index("answer"), 3]
    assert after.weights[gone].equal(before.weights[gone])
    assert after.weights[here].equal(before.weights[here]) == (way == "fixed")
    if way == "gradnorm":
        assert after.weights.sum().item() == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("way", WEIGHTINGS)
def test_a_step_without_any_loss_changes_nothing(way):
    net, weighting, _ = trained(way, 5)
    before = copy.deepcopy(weighting.state_dict())
    weighting({}, net.shared).backward()
    weighting.update()
    assert all(value.equal(before[name]) for name, value in weighting.state_dict().items())


@pytest.mark.parametrize("way", WEIGHTINGS)
def test_a_batch_in_parts_teaches_what_the_whole_one_does(way):
    """As on several machines, or where gradients are accumulated."""
    whole, parts = make(way), make(way)
    net = Net()
    for step in range(3):
        halves = net.losses(2 * step), net.losses(2 * step + 1)
        mean = {task: (halves[0][task] + halves[1][task]) / 2 for task in TASKS}
        total = whole(mean, net.shared)
        in_parts = sum(parts(half, net.shared) for half in halves) / 2
        torch.testing.assert_close(total, in_parts)
        whole.update()
        parts.update()
        torch.testing.assert_close(whole.weights, parts.weights)


@pytest.mark.parametrize("way", WEIGHTINGS)
def test_it_goes_on_from_its_buffers(way):
    net, weighting, _ = trained(way, 5)
    resumed = make(way)
    resumed.load_state_dict(weighting.state_dict())
    for each in (weighting, resumed):
        each(net.losses(5), net.shared)
        each.update()
    assert resumed.weights.equal(weighting.weights)
    assert not list(weighting.parameters())  # nothing for the model's optimiser to decay
