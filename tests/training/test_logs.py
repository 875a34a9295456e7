"""The log of values per step."""

import torch

from components.training.logs import StepLog
from components.training.tables import STEPS


def test_values_are_those_of_their_step():
    weight = torch.ones(1, requires_grad=True)
    log = StepLog()
    for step in range(3):
        log.add(step, {"loss": {"a": weight.sum() * step}, "weight": {"a": weight[0], "b": 0.5}})
        with torch.no_grad():
            weight += 1
    table = STEPS.validate(log.table())
    assert table["step"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert table["series"].tolist() == ["loss", "weight", "weight"] * 3
    assert table["task"].tolist() == ["a", "a", "b"] * 3
    assert table["value"].tolist() == [0, 1, 0.5, 2, 2, 0.5, 6, 3, 0.5]


def test_mean_is_over_the_steps_that_trained_a_task():
    log = StepLog()
    log.add(0, {"loss": {"a": 9.0}})  # of the epoch before
    log.add(1, {"loss": {"a": 1.0}, "weight": {"a": 7.0}})
    log.add(2, {"loss": {"b": 2.0}})
    log.add(3, {"loss": {"a": 2.0, "b": 4.0}})
    assert log.means("loss", first=1) == {"a": 1.5, "b": 3.0}


def test_mean_is_a_sum_in_single_precision():
    losses = torch.rand(100, generator=torch.Generator().manual_seed(0))
    log, total = StepLog(), 0
    for step, loss in enumerate(losses):
        log.add(step, {"loss": {"a": loss}})
        total = total + loss
    assert log.means("loss", 0)["a"] == float(total) / 100


def test_restored_log_continues():
    whole, part, rest = StepLog(), StepLog(), StepLog()
    for step in range(4):
        values = {"loss": {"a": torch.tensor(step / 3), f"b{step}": step}}
        whole.add(step, values)
        (part if step < 2 else rest).add(step, values)
        if step == 1:
            rest.restore(part.state(), part.names)
    assert rest.table().equals(whole.table())
    assert rest.means("loss", 1) == whole.means("loss", 1)


def test_empty_log_has_its_columns():
    assert list(StepLog().table().columns) == list(STEPS.columns)
