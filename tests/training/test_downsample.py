"""The log per step, made short."""

import pandas as pd
import pytest

from components.training.downsample import TRAINED, downsample
from components.training.tables import STEPS


def table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(STEPS.columns))


def test_short_log_stays():
    log = table([(step, "loss", task, step + 0.5) for step in range(4) for task in ("a", "b")])
    assert downsample(log, 10).equals(log)
    assert downsample(log[:0], 10).equals(log[:0])


def test_long_log_becomes_means_over_spans():
    log = table([(step, "loss", "a", float(step)) for step in range(10)])
    found = downsample(log, 4)
    assert found["step"].tolist() == [0, 3, 6, 9]
    assert found["value"].tolist() == [1.0, 4.0, 7.0, 9.0]


def test_fraction_of_steps_per_sampled_task_is_added():
    log = table([(step, "loss", "b" if step in (1, 2, 3) else "a", 1.0) for step in range(8)])
    found = downsample(log, 2)
    fractions = found[found["series"] == TRAINED].set_index(["step", "task"])["value"].to_dict()
    assert fractions == {(0, "a"): 0.25, (0, "b"): 0.75, (4, "a"): 1.0}
    assert STEPS.validate(found) is not None
    assert found[found["series"] == "loss"]["value"].tolist() == pytest.approx([1.0] * 3)
