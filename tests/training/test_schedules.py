"""Learning-rate schedules."""

import pytest
import torch

from components.training.schedules import WARM_UP, cosine, one_cycle


def test_cosine_warms_up_and_decays_to_zero():
    rates = [cosine(step / 1000, 1000).learning_rate for step in range(1001)]
    peak = int(1000 * WARM_UP)
    assert 0 < rates[0] < 0.05
    assert rates[peak] == max(rates) == pytest.approx(1.0)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[peak + (1000 - peak) // 2] == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 97])
def test_one_cycle_equals_torch(steps):
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=0.3)
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=steps)
    for step in range(steps):
        point = one_cycle(step / steps, steps)
        group = optimizer.param_groups[0]
        assert 0.3 * point.learning_rate == pytest.approx(group["lr"], rel=1e-9)
        assert point.momentum == pytest.approx(group["betas"][0], rel=1e-9)
        optimizer.step()
        if step < steps - 1:
            reference.step()
