"""Latency is that of the model, whatever else the machine does."""

import pandas as pd
import pytest

from components.evaluate.evaluation import latency
from components.evaluate.evaluation.latency import SINGLE_ROWS, WARM_UP, measure_latency

ROWS = pd.DataFrame({"text": ["why?"] * SINGLE_ROWS})


class Clock:
    """Time that passes only while something is predicted: 10 ms a row, and more under load."""

    def __init__(self, loaded: range):
        self.now, self.calls, self.loaded = 0.0, 0, loaded

    def perf_counter(self) -> float:
        return self.now

    def predict(self, rows: pd.DataFrame) -> None:
        self.now += 0.01 * len(rows) * (50 if self.calls in self.loaded else 1)
        self.calls += 1


@pytest.mark.parametrize(
    "loaded", [range(0), range(WARM_UP, WARM_UP + SINGLE_ROWS), range(WARM_UP + 30, WARM_UP + 60)]
)
def test_load_of_the_machine_is_not_counted(monkeypatch, loaded):
    clock = Clock(loaded)
    monkeypatch.setattr(latency, "time", clock)
    found = measure_latency(clock.predict, ROWS)
    assert found["single"] == pytest.approx({"median_ms": 10, "p95_ms": 10})
    assert found["batch"] == pytest.approx({"median_ms": 320, "p95_ms": 320})


def test_slow_rows_are_counted(monkeypatch):
    """Those that take longer each time."""
    clock = Clock(range(0))
    monkeypatch.setattr(latency, "time", clock)

    def predict(rows):
        for _ in range(3 if rows.index[0] % 5 == 0 else 1):
            clock.predict(rows)

    found = measure_latency(predict, ROWS)["single"]
    assert found == pytest.approx({"median_ms": 10, "p95_ms": 30})
