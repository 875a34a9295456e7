"""Training that is killed, split between processes, or started from an exported model."""

import os
import re
import signal
from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmarks.stages import PipelineStage
from tests.support.clone import Clone, kill_group, wait_until
from tests.support.stages import STAGES
from tests.support.tiny_model import PRESENT

# Runs a stage with a checkpoint after every step, as if its steps took long.
CHECKPOINTING = """
import runpy, sys
from components.training import checkpoint
checkpoint.MIN_INTERVAL = -1e9
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
WEIGHTS = "models/synesthesia/model.safetensors"
ENCODER = "models/encoders/audio.safetensors"


def is_running(clone: Clone, row: PipelineStage) -> bool:
    """Return whether a process of the clone runs a stage now."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().rstrip("\0").split("\0")
            here = os.readlink(entry / "cwd") == str(clone.path)
        except OSError:
            continue
        if here and tuple(words[-len(row.call) :]) == row.call:
            return True
    return False


def kill_at_checkpoint(clone: Clone, row: PipelineStage) -> Path:
    """Kill a stage that trains once it has written a checkpoint; return the checkpoint."""
    checkpoint = clone.path / row.arguments.checkpoint
    process = clone.start_python("-c", CHECKPOINTING, *row.call)
    wait_until(checkpoint.exists, process)
    kill_group(process)
    assert process.returncode == -signal.SIGKILL
    assert checkpoint.exists()
    return checkpoint


def test_killed_training_loses_nothing(done, again):
    """Killed once under DVC, once with a checkpoint; then the bytes are those of a whole run."""
    again.forget("features_audio")
    row = STAGES["features_audio"]
    process = again.start("dvc", "repro", "features_audio")
    wait_until(lambda: is_running(again, row), process)
    kill_group(process)
    assert not is_running(again, row)

    checkpoint = kill_at_checkpoint(again, row)
    again.run("dvc", "repro", "-q")
    expected = yaml.safe_load(done.read("dvc.lock"))
    assert yaml.safe_load(again.read("dvc.lock")) == expected
    assert not checkpoint.exists()
    assert again.changed() == set()


def test_shards_of_killed_stage_are_reused(done, again):
    again.forget("preprocess_image")
    shard = next((done.path / "data/tensors/image").glob("*.safetensors"))
    folder = again.path / "data/tensors/image"
    folder.mkdir(parents=True)
    (folder / shard.name).write_bytes(shard.read_bytes())
    (folder / f".{shard.name}.123.tmp").write_bytes(b"partial")
    (folder / "stale.safetensors").write_bytes(b"of an earlier run")
    output = again.run("dvc", "repro", "-s", "preprocess_image")
    assert "image: 0 shards computed" in output
    assert yaml.safe_load(again.read("dvc.lock")) == yaml.safe_load(done.read("dvc.lock"))


@pytest.fixture(scope="module")
def warm_started(done, tmp_path_factory) -> Clone:
    """A clone whose training started from the weights of its own exported model."""
    clone = done.copy(tmp_path_factory.mktemp("warm") / "clone")
    exported = yaml.safe_load(clone.run("components.train.export_pretrained", "--name", "exported"))
    changes = {
        **{f"features.{m}.{k}": v for m in PRESENT for k, v in exported["features"][m].items()},
        **{f"preprocess.text.{k}": v for k, v in exported["preprocess"]["text"].items()},
        **{f"train.{k}": v for k, v in exported["train"].items()},
    }
    clone.set(**changes)
    output = clone.run("dvc", "repro", "train")
    assert re.search(r"starts from pretrained/model/exported: (\d+) of \1 tensors", output)
    return clone


def test_warm_start_keeps_encoders_and_changes_model(done, warm_started):
    for name in (f"models/encoders/{m}.safetensors" for m in PRESENT):
        assert warm_started.read(name) == done.read(name)
    assert warm_started.read(WEIGHTS) != done.read(WEIGHTS)


def test_resumed_warm_start_equals_uninterrupted(warm_started, tmp_path):
    clone, row = warm_started.copy(tmp_path / "clone"), STAGES["train"]
    kill_at_checkpoint(clone, row)
    (clone.path / WEIGHTS).unlink()
    clone.run(*row.call)
    assert clone.read(WEIGHTS) == warm_started.read(WEIGHTS)


def test_encoder_of_two_processes_is_resumed(done, tmp_path):
    """Both are killed, and the bytes are those of an uninterrupted run."""
    clone, row = done.copy(tmp_path / "clone"), STAGES["features_audio"]
    clone.set(**{"features.audio.processes": 2})
    clone.run(*STAGES["settings"].call)
    weights = []
    for _ in range(2):
        clone.run(*row.call)
        weights.append(clone.read(ENCODER))
        kill_at_checkpoint(clone, row)
    clone.run(*row.call)
    assert weights[0] == weights[1] == clone.read(ENCODER) != done.read(ENCODER)


def test_two_processes_train_what_one_trains(warm_started, tmp_path):
    """The same bytes each time; those of one process except for rounding."""
    clone, row, weights = warm_started.copy(tmp_path / "clone"), STAGES["train"], []
    params = yaml.safe_load(clone.read("params.yaml"))
    params["train"]["processes"] = 2
    (clone.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    clone.run(*STAGES["settings"].call)
    for _ in range(2):
        clone.run(*row.call)
        weights.append(clone.read(WEIGHTS))
    assert weights[0] == weights[1]

    history = "reports/history/train.csv"
    one, two = (pd.read_csv(c.path / history) for c in (warm_started, clone))
    assert two[["epoch", "series", "task"]].equals(one[["epoch", "series", "task"]])
    loss = one["series"] == "loss"
    assert two[loss]["value"].tolist() == pytest.approx(one[loss]["value"].tolist(), rel=1e-3)
    assert two[~loss]["value"].tolist() == pytest.approx(one[~loss]["value"].tolist(), abs=0.1)
    steps = "reports/steps/train.parquet"
    one, two = (pd.read_parquet(c.path / steps) for c in (warm_started, clone))
    assert one.drop(columns="value").equals(two.drop(columns="value"))
