"""The log of steps made short."""

import pandas as pd
import pytest

from components.data.tables import STEPS
from components.training.downsample import spans


def table(rows: list[tuple]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(STEPS.columns))


def test_a_short_log_stays_as_it_is():
    log = table([(step, "loss", task, step + 0.5) for step in range(4) for task in ("a", "b")])
    assert spans(log, 10).equals(log)
    assert spans(log[:0], 10).equals(log[:0])


def test_a_long_log_becomes_means_over_spans():
    log = table([(step, "loss", "a", float(step)) for step in range(10)])
    found = spans(log, 4)
    assert found["step"].tolist() == [0, 3, 6, 9]
    assert found["value"].tolist() == [1.0, 4.0, 7.0, 9.0]


def test_where_steps_train_some_tasks_their_shares_are_added():
    log = table([(step, "loss", "b" if step in (1, 2, 3) else "a", 1.0) for step in range(8)])
    found = spans(log, 2)
    shares = found[found["series"] == "steps"].set_index(["step", "task"])["value"].to_dict()
    assert shares == {(0, "a"): 0.25, (0, "b"): 0.75, (4, "a"): 1.0}
    assert STEPS.validate(found) is not None
    assert found[found["series"] == "loss"]["value"].tolist() == pytest.approx([1.0] * 3)
