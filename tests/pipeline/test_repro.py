"""The whole pipeline, small, in clones of this tree: what `dvc repro` gives, and gives again."""

import json
import os
import time

import pandas as pd
import yaml

from components.data.tables import QUARANTINE, SAMPLES, read_table
from tests.clone import TRACKED
from tests.shrunk import small_params
from tests.stages import STAGES

AUDIO = {"preprocess_audio", "features_audio", "align", "train", "evaluate", "register"}


def test_the_small_settings_run_everything(done):
    lock = yaml.safe_load(done.read("dvc.lock"))
    assert list(lock["stages"]) == list(STAGES)


def test_afterwards_nothing_is_left_to_do(done):
    before = done.read("dvc.lock")
    assert json.loads(done.run("dvc", "status", "--json")) == {}
    assert "up to date" in done.run("dvc", "repro")
    assert done.read("dvc.lock") == before
    assert not list((done.path / "work").glob("*"))


def test_only_results_that_belong_to_git_are_new_to_it(done):
    names = {line[3:] for line in done.git("status", "--porcelain", "-uall").splitlines()}
    ignored = {name for name in names if name.startswith("mlruns")}
    assert names - ignored <= {*TRACKED, ".gitignore", "data/.gitignore", "models/.gitignore"}
    assert set(TRACKED) <= names


def test_nothing_that_is_tracked_names_this_machine_or_the_time(pair):
    made, _ = pair
    for path in [*TRACKED, "reports/registration.json"]:
        text = made.read(path).decode()
        for secret in (str(made.path), os.uname().nodename, time.strftime("%Y-%m-%d")):
            assert secret not in text, path


def test_every_sample_s_assets_are_there_and_no_split_shares_an_image(done):
    samples = read_table(done.path / "data/samples.parquet", SAMPLES)
    read_table(done.path / "data/quarantine.parquet", QUARANTINE)
    for m in ("image", "text", "audio"):
        index = pd.read_parquet(done.path / f"data/media/{m}/index.parquet")
        assert set(samples[f"{m}_id"].dropna()) == set(index["asset_id"])
        tensors = pd.read_parquet(done.path / f"data/tensors/{m}/index.parquet")
        features = pd.read_parquet(done.path / f"data/features/{m}/index.parquet")
        assert list(index["asset_id"]) == list(tensors["asset_id"]) == list(features["asset_id"])
    assert (samples.groupby("image_id")["split"].nunique() == 1).all()
    assert set(samples["split"]) == {"train", "validation", "test"}


def test_the_flow_leaves_the_very_same(pair):
    done, flown = pair
    for name in (*TRACKED, "reports/registration.json", ".gitignore"):
        assert flown.read(name) == done.read(name), name
    assert json.loads(flown.run("dvc", "status", "--json")) == {}


def test_a_change_to_one_modality_runs_its_branch_and_what_follows_only(again):
    assert again.changed() == set()
    again.set(**{"preprocess.audio.mels": 24})
    assert again.changed() == AUDIO
    again.set(**{"features.image.epochs": 3})
    assert again.changed() == {"features_image", "align", "train", "evaluate", "register"}
    again.set(**{"model.fusion": "concat"})
    assert again.changed() == {"train", "evaluate", "register"}
    again.set()
    code = again.path / "components/model/processors/text.py"
    code.write_text(code.read_text() + "\n# an edit\n")
    rest = {"preprocess_image", "features_image", "preprocess_audio", "features_audio"}
    assert again.changed() == set(STAGES) - {"ingest"} - rest


def test_a_typo_in_the_settings_stops_it_before_any_work(again):
    params = small_params()
    params["train"]["epoch"] = params["train"].pop("epochs")
    (again.path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    before = again.read("dvc.lock")
    done = again.try_("dvc", "repro")
    assert done.returncode != 0
    assert "train.epoch: unknown key. Did you mean 'epochs'?" in done.stderr
    assert "Traceback" not in done.stderr
    assert again.read("dvc.lock") == before
