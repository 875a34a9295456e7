"""How the learning rate goes up and down."""

import pytest
import torch

from components.training.schedules import WARM_UP, cosine, one_cycle


def test_the_cosine_warms_up_and_then_falls_to_zero():
    rates = [cosine(step / 1000, 1000).rate for step in range(1001)]
    peak = int(1000 * WARM_UP)
    assert 0 < rates[0] < 0.05
    assert rates[peak] == max(rates) == pytest.approx(1.0)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[peak + (1000 - peak) // 2] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 97])
def test_one_cycle_is_that_of_torch(steps):
    optimiser = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=0.3)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.3, total_steps=steps)
    for step in range(steps):
        pace = one_cycle(step / steps, steps)
        group = optimiser.param_groups[0]
        assert 0.3 * pace.rate == pytest.approx(group["lr"], rel=1e-9)
        assert pace.momentum == pytest.approx(group["betas"][0], rel=1e-9)
        optimiser.step()
        if step < steps - 1:
            reference.step()
