"""Trainings that are killed, shared by two processes, or that go on from a model that was kept."""

import os
import re
import signal
from pathlib import Path

import pandas as pd
import pytest
import yaml
from components.modalities.registry import MODALITIES

from tests.clone import Clone, kill_group, wait_until
from tests.stages import STAGES

# Runs a stage with a checkpoint after every step, as one whose steps are long would.
CHECKPOINTING = """
import runpy, sys
from components.model.base import checkpoint
checkpoint.SECONDS_BETWEEN = -1e9
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


def command_runs(clone: Clone, module: str) -> bool:
    """Whether a process of the clone runs a module now."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            here = os.readlink(entry / "cwd") == str(clone.path)
            if here and module in (entry / "cmdline").read_bytes().decode().split("\0"):
                return True
        except OSError:
            continue
    return False


def test_sigkill_in_mid_training_loses_nothing(done, again):
    """Killed once under DVC, once with a checkpoint; then the same bytes as without a break."""
    again.forget("features_audio")
    row = STAGES["features_audio"]
    process = again.start("dvc", "repro", "features_audio")
    wait_until(lambda: command_runs(again, row.module), process)
    kill_group(process)
    assert not command_runs(again, row.module)

    checkpoint = again.path / row.options["checkpoint"]
    process = again.start_python("-c", CHECKPOINTING, *row.words)
    wait_until(checkpoint.exists, process)
    kill_group(process)
    assert process.returncode == -signal.SIGKILL
    assert checkpoint.exists()

    again.run("dvc", "repro", "-q")
    expected = yaml.safe_load(done.read("dvc.lock"))
    assert yaml.safe_load(again.read("dvc.lock")) == expected
    assert not checkpoint.exists()
    assert again.changed() == set()


def test_two_processes_train_what_one_does(done, again):
    """By one setting; but for rounding, so to the same losses, and in turn the same answers."""
    again.set(**{"train.processes": 2})
    again.run("dvc", "repro", "-q", "train")
    one, two = (pd.read_csv(clone.path / "reports/history/train.csv") for clone in (done, again))
    assert two[["epoch", "series", "task"]].equals(one[["epoch", "series", "task"]])
    loss = one["series"] == "loss"
    assert two[loss]["value"].tolist() == pytest.approx(one[loss]["value"].tolist(), rel=1e-3)
    assert two[~loss]["value"].tolist() == pytest.approx(one[~loss]["value"].tolist(), abs=0.1)
    steps = [pd.read_parquet(clone.path / "reports/steps/train.parquet") for clone in (done, again)]
    assert steps[0].drop(columns="value").equals(steps[1].drop(columns="value"))


def test_training_goes_on_from_a_model_that_was_kept(done, again):
    """Killed or not, by one process or two: the same bytes each time."""
    weights, row = "models/synesthesia/model.safetensors", STAGES["train"]
    kept = yaml.safe_load(again.run("components.train.export_pretrained", "--name", "champion"))
    changes = {
        **{f"features.{m}.{k}": v for m in MODALITIES for k, v in kept["features"][m].items()},
        **{f"preprocess.text.{k}": v for k, v in kept["preprocess"]["text"].items()},
        **{f"train.{k}": v for k, v in kept["train"].items()},
    }
    again.set(**changes)
    output = again.run("dvc", "repro", "train")
    assert re.search(r"starts from pretrained/model/champion: (\d+) of \1 tensors", output)
    for name in (f"models/encoders/{m}.safetensors" for m in MODALITIES):
        assert again.read(name) == done.read(name)
    whole = again.read(weights)
    assert whole != done.read(weights)

    process = again.start_python("-c", CHECKPOINTING, *row.words)
    checkpoint = again.path / row.options["checkpoint"]
    wait_until(checkpoint.exists, process)
    kill_group(process)
    (again.path / weights).unlink()
    again.run(*row.words)
    assert again.read(weights) == whole

    again.set(**changes, **{"train.processes": 2})
    together = []
    for _ in range(2):
        again.run(*row.words)
        together.append(again.read(weights))
    assert together[0] == together[1]


def test_shards_that_a_killed_stage_left_are_taken_over_and_leftovers_go(done, again):
    again.forget("preprocess_image")
    shard = next((done.path / "data/tensors/image").glob("*.safetensors"))
    folder = again.path / "data/tensors/image"
    folder.mkdir(parents=True)
    (folder / shard.name).write_bytes(shard.read_bytes())
    (folder / f".{shard.name}.123.tmp").write_bytes(b"half")
    (folder / "stale.safetensors").write_bytes(b"of another time")
    output = again.run("dvc", "repro", "-s", "preprocess_image")
    assert "image: 0 shards computed" in output
    assert yaml.safe_load(again.read("dvc.lock")) == yaml.safe_load(done.read("dvc.lock"))
