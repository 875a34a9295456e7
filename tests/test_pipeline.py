"""The whole pipeline, small, in clones of this tree: what `dvc repro` gives, and gives again."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from components.config.section import MODALITIES
from components.store.tables import QUARANTINE, SAMPLES, read_table
from tests.clone import Clone, kill_group
from tests.shrunk import small_params
from tests.stages import STAGES, covered

TRACKED = ("dvc.lock", "reports/data.json", "reports/retrieval.json", "reports/metrics.json")
AUDIO = {"preprocess_audio", "features_audio", "align", "train", "evaluate", "register"}

# Runs a stage with a checkpoint after every step, as one whose steps are long would.
CHECKPOINTING = """
import runpy, sys
from components.model.base import checkpoint
checkpoint.SECONDS_BETWEEN = -1e9
module, *sys.argv[1:] = sys.argv[1:]
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""

# Runs a stage until it calls a method of MLflow's client, and kills it there.
DYING = """
import os, runpy, signal, sys
from mlflow import MlflowClient
method, module, *sys.argv[1:] = sys.argv[1:]
setattr(MlflowClient, method, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="session")
def pair(tmp_path_factory, prefect_api) -> tuple[Clone, Clone]:
    """A clone after plain `dvc repro`, and one after the Prefect flow; made at the same time."""
    plain, flown = (
        Clone.fresh(tmp_path_factory.mktemp(name) / "clone") for name in ("plain", "flown")
    )
    flow = flown.start("flows.pipeline", PREFECT_API_URL=prefect_api)
    try:
        plain.run("dvc", "repro", "-q")
        output, _ = flow.communicate(timeout=600)
        assert flow.returncode == 0, output[-5000:]
    finally:
        if flow.poll() is None:
            kill_group(flow)
    return plain, flown


@pytest.fixture(scope="session")
def done(pair) -> Clone:
    """The clone after plain `dvc repro`; a test that changes it takes `again`."""
    return pair[0]


@pytest.fixture(scope="session")
def flown(pair) -> Clone:
    """The clone after the Prefect flow."""
    return pair[1]


@pytest.fixture
def again(done, tmp_path) -> Clone:
    """A copy of the clone that is done, for a test that changes it."""
    return done.copy(tmp_path / "clone")


def changed(clone: Clone) -> set[str]:
    """The stages that `dvc repro` would run now, if what it runs gives other bytes each time."""
    lines = clone.run("dvc", "repro", "--dry").splitlines()
    found = {line.split("'")[1] for line in lines if line.startswith("Running stage")}
    for name, row in STAGES.items():  # each after what it needs
        upstream = tuple(out for other in found for out in STAGES[other].outs)
        if any(covered(d, upstream) or covered(o, (d,)) for d in row.deps for o in upstream):
            found.add(name)
    return found


def mlflow_in(clone: Clone, script: str):
    """What a Python expression gives that sees MLflow's client in a clone, as JSON."""
    code = (
        "import json, mlflow\n"
        "mlflow.set_tracking_uri('sqlite:///mlflow.db')\n"
        "client = mlflow.MlflowClient()\n"
        "version = client.get_model_version_by_alias('synesthesia', 'challenger')\n"
        "run = client.get_run(version.run_id)\n"
        f"print(json.dumps({script}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=clone.path,
        env=clone.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def recorded(done) -> dict:
    """What MLflow knows of the clone's model and run."""
    return mlflow_in(
        done,
        """{
        "metrics": run.data.metrics, "params": run.data.params, "tags": run.data.tags,
        "status": run.info.status,
        "versions": len(client.search_model_versions("name = 'synesthesia'")),
        "runs": len(client.search_runs([run.info.experiment_id])),
        "model_tags": version.tags,
        "loss": [[m.step, m.value] for m in client.get_metric_history(
            run.info.run_id, "train/loss/answer")],
        "files": [f.path for f in client.list_artifacts(run.info.run_id)]
            + [f.path for f in client.list_artifacts(run.info.run_id, "plots")],
        }""",
    )


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


def test_nothing_that_is_tracked_names_this_machine_or_the_time(done):
    for path in [*TRACKED, "reports/registration.json"]:
        text = done.read(path).decode()
        for secret in (str(done.path), os.uname().nodename, time.strftime("%Y-%m-%d")):
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


def test_the_flow_leaves_the_very_same(done, flown):
    for name in (*TRACKED, "reports/registration.json", ".gitignore"):
        assert flown.read(name) == done.read(name), name
    assert json.loads(flown.run("dvc", "status", "--json")) == {}


def test_a_change_to_one_modality_runs_its_branch_and_what_follows_only(again):
    assert changed(again) == set()
    again.set(**{"preprocess.audio.mels": 24})
    assert changed(again) == AUDIO
    again.set(**{"features.image.epochs": 3})
    assert changed(again) == {"features_image", "align", "train", "evaluate", "register"}
    again.set(**{"model.fusion": "concat"})
    assert changed(again) == {"train", "evaluate", "register"}
    again.set()
    code = again.path / "components/model/processors/text.py"
    code.write_text(code.read_text() + "\n# an edit\n")
    rest = {"preprocess_image", "features_image", "preprocess_audio", "features_audio"}
    assert changed(again) == set(STAGES) - {"ingest"} - rest


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


def forget(clone: Clone, *stages: str) -> None:
    """As if these stages had never run: no lock entry, no output, no memory in DVC's run cache."""
    path = clone.path / "dvc.lock"
    lock = yaml.safe_load(path.read_text())
    for name in stages:
        del lock["stages"][name]
        for out in STAGES[name].outs:
            subprocess.run(["rm", "-rf", str(clone.path / out)], check=True)
    path.write_text(yaml.safe_dump(lock, sort_keys=False))
    subprocess.run(["rm", "-rf", str(clone.path / ".dvc/cache/runs")], check=True)


def wait_until(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


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
    forget(again, "features_audio")
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
    assert changed(again) == set()


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
    kept = yaml.safe_load(again.run("components.train.keep", "--name", "champion"))
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
    forget(again, "preprocess_image")
    shard = next((done.path / "data/tensors/image").glob("*.safetensors"))
    folder = again.path / "data/tensors/image"
    folder.mkdir(parents=True)
    (folder / shard.name).write_bytes(shard.read_bytes())
    (folder / f".{shard.name}.123.tmp").write_bytes(b"half")
    (folder / "stale.safetensors").write_bytes(b"of another time")
    output = again.run("dvc", "repro", "-s", "preprocess_image")
    assert "image: 0 shards computed" in output
    assert yaml.safe_load(again.read("dvc.lock")) == yaml.safe_load(done.read("dvc.lock"))


def test_mlflow_knows_what_made_the_model(done, recorded):
    assert recorded["status"] == "FINISHED"
    assert recorded["params"]["train.epochs"] == str(small_params()["train"]["epochs"])
    assert recorded["params"]["preprocess.audio.mels"] == "16"
    assert recorded["tags"]["git_commit"] == done.git("rev-parse", "HEAD").strip()
    assert recorded["tags"]["git_dirty"] == "false"
    lock = yaml.safe_load(done.read("dvc.lock"))["stages"]
    hashes = {f"dvc.{out['path']}": out["md5"] for row in lock.values() for out in row["outs"]}
    del hashes["dvc.reports/registration.json"]  # written after
    found = {k: v for k, v in recorded["tags"].items() if k.startswith("dvc.")}
    assert found == hashes
    assert set(recorded["model_tags"]) == {"fingerprint", "git_commit", "git_dirty"}
    assert recorded["model_tags"].items() <= recorded["tags"].items()


def test_mlflow_and_the_json_files_hold_the_same_numbers(done, recorded):
    metrics = json.loads(done.read("reports/metrics.json"))
    for metric in ("accuracy", "zero_shot_accuracy", "zero_shot_chance"):
        for task, values in metrics[metric].items():
            for subset, value in values.items():
                name = f"{metric}/{task}/{subset.replace('+', '_')}"
                assert recorded["metrics"][name] == value
    for measure, values in json.loads(done.read("reports/retrieval.json")).items():
        for direction, value in values.items():
            assert recorded["metrics"][f"{measure}/{direction.replace('→', '_to_')}"] == value
    flat = pd.json_normalize(metrics["slices"]).size
    assert len([name for name in recorded["metrics"] if name.startswith("slices/")]) == flat
    shown = json.loads(done.run("dvc", "metrics", "show", "--json"))[""]["data"]
    assert shown["reports/metrics.json"]["data"]["accuracy"] == metrics["accuracy"]


def test_mlflow_has_metrics_by_epoch_plots_and_reports(done, recorded):
    history = pd.read_csv(done.path / "reports/history/train.csv")
    rows = history[(history["series"] == "loss") & (history["task"] == "answer")]
    assert recorded["loss"] == rows[["epoch", "value"]].to_numpy().tolist()
    files = {"report.html", "data.html", "data.json", "params.yaml", "plots", "data_plots"}
    assert files <= set(recorded["files"])
    plots = {f"plots/{path.name}" for path in (done.path / "reports/plots").glob("*.png")}
    assert plots and plots <= set(recorded["files"])


def test_the_registered_model_has_a_signature_and_answers_its_own_example(done):
    answers = mlflow_in(
        done,
        """(lambda model: {
        "inputs": {c.name: [c.type.name, c.required] for c in model.metadata.get_input_schema()},
        "outputs": model.metadata.get_output_schema().input_names(),
        "example": list(model.input_example.columns),
        "rows": model.predict(model.input_example).to_dict("records"),
        })(mlflow.pyfunc.load_model("models:/synesthesia@challenger"))""",
    )
    assert answers["inputs"] == {
        "image": ["binary", False], "text": ["string", False], "audio": ["binary", False],
    }  # fmt: skip
    tasks = list(small_params()["tasks"])
    assert answers["outputs"] == [c for task in tasks for c in (task, f"{task}_confidence")]
    assert answers["example"] == ["image", "text", "audio"]
    vocabulary = json.loads(done.read("data/vocabulary.json"))
    (row,) = answers["rows"]
    assert all(row[task] in vocabulary[task]["classes"] for task in tasks)
    assert all(0 < row[f"{task}_confidence"] <= 1 for task in tasks)


def test_weights_are_safetensors_and_nothing_anywhere_is_pickled(done):
    folder = done.path / "mlartifacts"
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    assert names.count("model.safetensors") == 1
    suspicious = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".joblib")
    here = [p for p in done.path.rglob("*") if p.suffix in suspicious and ".git" not in p.parts]
    assert here == []
    served = next(folder.rglob("model.safetensors"))
    assert served.read_bytes() == done.read("models/synesthesia/model.safetensors")


def test_registering_again_makes_no_second_version(recorded, again):
    assert recorded["versions"] == recorded["runs"] == 1
    before = again.read("reports/registration.json")
    again.run(*STAGES["register"].words)
    assert again.read("reports/registration.json") == before
    counts = mlflow_in(
        again,
        """[len(client.search_model_versions("name = 'synesthesia'")),
        len(client.search_runs([run.info.experiment_id])), version.version]""",
    )
    assert [int(count) for count in counts] == [1, 1, 1]


def test_registering_after_a_kill_anywhere_leaves_one_run_and_one_version(recorded, again):
    (again.path / "mlflow.db").unlink()
    for method in ("log_batch", "set_model_version_tag", "set_registered_model_alias"):
        process = subprocess.run(
            [sys.executable, "-c", DYING, method, *STAGES["register"].words],
            cwd=again.path,
            env=again.environment(),
            check=False,
        )
        assert process.returncode == -signal.SIGKILL
    again.run(*STAGES["register"].words)
    found = mlflow_in(
        again,
        """{
        "metrics": run.data.metrics, "status": run.info.status,
        "versions": len(client.search_model_versions("name = 'synesthesia'")),
        "runs": len(client.search_runs([run.info.experiment_id])),
        }""",
    )
    assert found == {name: recorded[name] for name in found}


def test_the_command_answers_what_is_given_to_it(done, tmp_path):
    samples = read_table(done.path / "data/samples.parquet", SAMPLES)
    sample = samples[samples["split"] == "test"].iloc[0]
    files = {}
    for m in ("image", "audio"):
        index = pd.read_parquet(done.path / f"data/media/{m}/index.parquet")
        place = index.set_index("asset_id").loc[sample[f"{m}_id"]]
        shard = pd.read_parquet(done.path / f"data/media/{m}/{place['shard']}.parquet")
        files[m] = tmp_path / m
        files[m].write_bytes(shard["content"].iloc[place["row"]])
    ask = "components.registry.predict"
    with_text = done.run(ask, "--image", str(files["image"]), "--text", "what color is it?")
    with_audio = done.run(ask, "--image", str(files["image"]), "--audio", str(files["audio"]))
    tasks = list(small_params()["tasks"])
    for output in (with_text, with_audio):
        assert [line.split()[0] for line in output.splitlines()] == tasks
        assert all(line.endswith("%") for line in output.splitlines())
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    done.refused("the image cannot be decoded", ask, "--image", str(broken))
