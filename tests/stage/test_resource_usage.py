"""Resources that a training uses, sampled beside it."""

import time

import numpy as np
import pytest

from components.stage import resource_usage
from components.stage.resource_usage import Sampler, read_resource_usage, sampled


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_history_has_the_usage_of_its_run(tmp_path):
    history = tmp_path / "train.csv"
    began = time.time() * 1000
    with sampled(history):
        held = np.ones(2**25, np.uint8)  # 32 MiB
        history.write_text("epoch\n0\n")
    found = read_resource_usage(history)
    assert began - 1 <= found.started <= found.ended <= time.time() * 1000 + 1
    sample = found.samples[-1]
    assert sample["process_memory_usage_megabytes"] > held.size / 1e6
    assert 0 < sample["system_memory_usage_percentage"] < 100
    history.write_text("epoch\n1\n")  # another run's, from DVC's cache
    assert read_resource_usage(history) is None
    assert read_resource_usage(tmp_path / "align.csv") is None


def test_failed_training_has_no_usage(tmp_path):
    with pytest.raises(ZeroDivisionError), sampled(tmp_path / "train.csv"):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_long_training_has_few_samples(monkeypatch):
    monkeypatch.setattr(resource_usage, "SAMPLES", 8)
    sampler = Sampler(interval=0.001)
    sampler.start()
    while sampler._interval < 0.004:
        time.sleep(0.001)
    sampler.stop()
    times = [sample["milliseconds"] for sample in sampler.samples]
    assert len(times) <= 8 and times == sorted(times)
