"""The whole pipeline, small, in clones of this tree: what `dvc repro` gives, and gives again."""

import json
import os
import re
import time

import pandas as pd
import yaml

from components.data.samples import asset_column, read_samples
from components.data.tables import read_table
from components.ingest.quarantine import QUARANTINE
from components.modalities.registry import MODALITIES
from tests.support.clone import TRACKED
from tests.support.params import small_params
from tests.support.stages import STAGES

LATER = {"align", "train", "evaluate", "register"}


def test_every_stage_runs(done):
    lock = yaml.safe_load(done.read("dvc.lock"))
    assert list(lock["stages"]) == list(STAGES)


def test_nothing_is_left_to_do(done):
    before = done.read("dvc.lock")
    assert json.loads(done.run("dvc", "status", "--json")) == {}
    assert "up to date" in done.run("dvc", "repro")
    assert done.read("dvc.lock") == before
    assert {path.suffix for path in (done.path / "work").iterdir()} == {".lock"}


def test_git_sees_tracked_results_only(done):
    names = {line[3:] for line in done.git("status", "--porcelain", "-uall").splitlines()}
    ignored = {name for name in names if name.startswith("mlruns")}
    assert names - ignored <= {*TRACKED, ".gitignore", "data/.gitignore", "models/.gitignore"}
    assert set(TRACKED) <= names


def test_tracked_files_name_neither_machine_nor_time(pair):
    made, _ = pair
    for path in [*TRACKED, "reports/registration.json"]:
        text = made.read(path).decode()
        for secret in (str(made.path), os.uname().nodename, time.strftime("%Y-%m-%d")):
            assert not re.search(rf"(?<!\w){re.escape(secret)}(?!\w)", text), path


def test_samples_have_their_assets_and_splits_share_none(done):
    samples = read_samples(done.path / "data/samples.parquet", MODALITIES)
    read_table(done.path / "data/quarantine.parquet", QUARANTINE)
    for m in MODALITIES:
        index = pd.read_parquet(done.path / f"data/media/{m}/index.parquet")
        assert set(samples[asset_column(m)].dropna()) == set(index["asset_id"])
        tensors = pd.read_parquet(done.path / f"data/tensors/{m}/index.parquet")
        features = pd.read_parquet(done.path / f"data/features/{m}/index.parquet")
        assert list(index["asset_id"]) == list(tensors["asset_id"]) == list(features["asset_id"])
    assert (samples.groupby("image_id")["split"].nunique() == 1).all()
    assert set(samples["split"]) == {"train", "validation", "test"}


def test_flow_leaves_the_same_bytes(pair):
    done, flown = pair
    for name in (*TRACKED, "reports/registration.json", ".gitignore"):
        assert flown.read(name) == done.read(name), name
    assert json.loads(flown.run("dvc", "status", "--json")) == {}


def test_change_runs_its_branch_only(again):
    again.set(**{"preprocess.audio.n_mels": 24})
    assert again.changed() == {"preprocess_audio", "features_audio"} | LATER
    # The baselines read which part of an image is shown.
    again.set(**{"preprocess.image.fit": "pad"})
    assert again.changed() == {"preprocess_image", "features_image", "baselines"} | LATER
    again.set(**{"features.image.epochs": 3})
    assert again.changed() == {"features_image"} | LATER
    again.set(**{"model.fusion": "concat"})
    assert again.changed() == {"train", "evaluate", "register"}
    again.set()
    assert again.changed() == set()
    code = again.path / "components/modalities/text/processing.py"
    code.write_text(code.read_text() + "\n# an edit\n")
    others = [m for m in MODALITIES if m != "text"]
    rest = {f"{stage}_{m}" for stage in ("preprocess", "features") for m in others}
    assert again.changed() == set(STAGES) - {"code", "settings", "ingest", "baselines"} - rest


def test_edited_file_is_named(again):
    code = "components/modalities/text/processing.py"
    (again.path / code).write_text((again.path / code).read_text() + "\n# an edit\n")
    assert f"  preprocess_text  {code} changed\n" in again.run("flows.explain")
    unlisted = again.path / "components/unlisted.py"
    unlisted.write_text("")
    assert "unlisted" not in again.run("flows.explain")


def test_misspelt_setting_runs_nothing(again):
    params = small_params()
    params["train"]["epoch"] = params["train"].pop("epochs")
    (again.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    before = again.read("dvc.lock")
    done = again.try_("dvc", "repro")
    assert done.returncode != 0
    assert "train.epoch: unknown key. Did you mean 'epochs'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert again.read("dvc.lock") == before
