"""The whole pipeline, small, in clones of this tree: what `dvc repro` gives, and gives again."""

import base64
import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import requests
import yaml
from pyarrow import parquet

from benchmarks.chaos import KINDS, Chaos
from components.config.section import MODALITIES
from components.evaluate.exam import EXAM
from components.model.predictor import Predictor
from components.store.shards import media_of
from components.store.tables import QUARANTINE, SAMPLES, read_table
from flows.services.services import Services
from tests.clone import IDENTITY, Clone, kill_group
from tests.servers import ANY_PORTS, require_postgresql
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


# What MLflow knows of the model and its runs.
RECORDED = """(lambda children: {
    "metrics": run.data.metrics, "params": run.data.params, "tags": run.data.tags,
    "status": run.info.status,
    "versions": len(client.search_model_versions("name = 'synesthesia'")),
    "runs": len(client.search_runs([run.info.experiment_id])),
    "model_tags": version.tags, "description": version.description,
    "model": {m.key: m.value for m in client.get_logged_model(
        run.outputs.model_outputs[0].model_id).metrics},
    "children": {child.info.run_name: {
        "params": child.data.params, "metrics": child.data.metrics,
        "seconds": (child.info.end_time - child.info.start_time) / 1000,
        "loss": [[m.step, m.value] for m in client.get_metric_history(
            child.info.run_id, "loss/answer")],
        } for child in children},
    "data": {i.dataset.name: [i.dataset.digest, json.loads(i.dataset.profile)["num_rows"],
        i.tags[0].value] for i in run.inputs.dataset_inputs},
    "files": [f.path for f in client.list_artifacts(run.info.run_id)]
        + [f.path for f in client.list_artifacts(run.info.run_id, "plots")],
    "environment": mlflow.artifacts.load_text(f"{run.info.artifact_uri}/environment.json"),
    "card": mlflow.artifacts.load_text(f"{run.info.artifact_uri}/model_card.md"),
})(client.search_runs([run.info.experiment_id],
    f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"))"""


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
    """What MLflow knows of the clone's model and runs."""
    return mlflow_in(done, RECORDED)


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
    environment = json.loads(recorded["environment"])
    assert {"python", "system", "cores", "gpus", "threads"} <= environment.keys()
    assert f"mlflow=={importlib.metadata.version('mlflow')}" in environment["packages"]
    for text in (recorded["environment"], recorded["card"], recorded["tags"].values()):
        assert os.uname().nodename not in str(text) and str(done.path) not in str(text)


def test_each_training_is_a_run_of_its_own_with_its_settings_and_curves(done, recorded):
    trained = {"features_image", "features_text", "features_audio", "align", "train"}
    assert recorded["children"].keys() == trained
    lock = yaml.safe_load(done.read("dvc.lock"))["stages"]
    for stage, child in recorded["children"].items():
        keys = set(lock[stage]["params"]["params.yaml"])
        assert {name.split(".")[0] for name in child["params"]} == {k.split(".")[0] for k in keys}
        history = pd.read_csv(done.path / f"reports/history/{stage}.csv")
        assert len(child["metrics"]) >= len(history.groupby(["series", "task"]))
    train = recorded["children"]["train"]
    assert train["params"]["train.batch"] == "16"
    assert "train.batch" not in recorded["children"]["align"]["params"]
    history = pd.read_csv(done.path / "reports/history/train.csv")
    rows = history[(history["series"] == "loss") & (history["task"] == "answer")]
    assert train["loss"] == rows[["epoch", "value"]].to_numpy().tolist()
    assert "steps/loss/answer" in train["metrics"]


def test_mlflow_shows_what_each_training_took_of_the_machine(recorded):
    for child in recorded["children"].values():
        assert child["metrics"]["system/process_memory_usage_megabytes"] > 50
        assert child["metrics"]["system/cpu_utilization_percentage"] >= 0
        assert child["seconds"] == pytest.approx(child["metrics"]["duration_seconds"], abs=0.01)
    assert recorded["metrics"]["system/system_memory_usage_megabytes"] > 0


def test_mlflow_knows_the_data(done, recorded):
    lock = yaml.safe_load(done.read("dvc.lock"))["stages"]
    outs = {out["path"]: out["md5"] for row in lock.values() for out in row["outs"]}
    counts = json.loads(done.read("reports/data.json"))["samples"]
    for split, context in (("train", "training"), ("validation", "validation"), ("test", "test")):
        expected = [outs["data/samples.parquet"], counts[split], context]
        assert recorded["data"][f"samples, {split}"] == expected
    deps = {dep["path"]: dep["md5"] for row in lock.values() for dep in row["deps"]}
    images = len(pd.read_parquet(done.path / "data/media/image/index.parquet"))
    assert recorded["data"]["media, image"] == [deps["data/media/image"], images, "media"]


def test_versions_can_be_compared_by_their_tags(done, recorded):
    tags = dict(recorded["model_tags"])
    fingerprint = json.loads(done.read("reports/registration.json"))["fingerprint"]
    assert tags.pop("fingerprint") == fingerprint == recorded["tags"]["fingerprint"]
    assert tags.pop("git_commit") == done.git("rev-parse", "HEAD").strip()
    assert tags.pop("git_dirty") == "false"
    lock = yaml.safe_load(done.read("dvc.lock"))["stages"]["ingest"]["outs"]
    (samples,) = (out["md5"] for out in lock if out["path"] == "data/samples.parquet")
    assert tags.pop("data") == samples[:8]
    report, metrics = (json.loads(done.read(f"reports/{n}.json")) for n in ("data", "metrics"))
    assert tags.pop("samples") == str(sum(report["samples"].values()))
    best = {t: list(values.values())[-1] for t, values in metrics["accuracy"].items()}
    assert tags == {f"{t.replace('_', ' ')} accuracy": f"{v:.4f}" for t, v in best.items()}
    assert recorded["model"]["accuracy/answer/image_text_audio"] == best["answer"]


def test_the_card_says_what_a_person_must_know(done, recorded):
    card, short = recorded["card"], recorded["description"]
    metrics = json.loads(done.read("reports/metrics.json"))["accuracy"]
    predictions = pd.read_parquet(done.path / "data/predictions.parquet")
    for (task, subset), rows in predictions.groupby(["task", "subset"]):
        line = f"| {task} | classification | {subset} | accuracy | {metrics[task][subset]:.2%} |"
        assert line in card and f"| {len(rows)} |" in card
    commit = done.git("rev-parse", "HEAD").strip()
    for text in (card, short):
        assert f"git checkout {commit} && dvc repro" in text
        assert "is answered only where text or audio is given" in text
        assert "| train |" in text and "None" not in text and len(short) <= 5000
    assert "epochs: 2" in card and "epochs: 2" not in short
    quarantine = json.loads(done.read("reports/data.json"))["quarantine"]
    assert all(f"{count} × `{reason}`" in short for reason, count in quarantine.items())


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


def test_mlflow_has_plots_and_reports(done, recorded):
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


COUNTS = """[len(client.search_model_versions("name = 'synesthesia'")),
    len(client.search_runs([run.info.experiment_id])), int(version.version)]"""


def test_registering_again_makes_no_second_version(recorded, again):
    assert recorded["versions"] == 1
    assert recorded["runs"] == 1 + len(recorded["children"])
    before = again.read("reports/registration.json")
    again.run(*STAGES["register"].words)
    assert again.read("reports/registration.json") == before
    assert mlflow_in(again, COUNTS) == [1, recorded["runs"], 1]


def test_registering_at_once_and_after_a_kill_makes_one_run_and_one_version(recorded, again):
    """Into an empty store: one is killed with half of its run logged, then two do it at once."""
    (again.path / "mlflow.db").unlink()
    process = subprocess.run(
        [sys.executable, "-c", DYING, "log_model_artifacts", *STAGES["register"].words],
        cwd=again.path,
        env=again.environment(),
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    both = [again.start(*STAGES["register"].words) for _ in range(2)]
    for process in both:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    found = mlflow_in(again, RECORDED)
    assert found["status"] == "FINISHED"
    assert (found["versions"], found["runs"]) == (1, recorded["runs"])
    same = ("model_tags", "description", "card", "model", "data", "params")
    assert {name: found[name] for name in same} == {name: recorded[name] for name in same}


def test_a_clone_that_pulled_registers_with_one_command(recorded, again, tmp_path):
    again.run("dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "remote"))
    again.run("dvc", "push", "-q")
    again.git("add", "-A")
    again.git(*IDENTITY, "commit", "-qm", "done")
    subprocess.run(["git", "clone", "-q", again.path, tmp_path / "second"], check=True)
    second = Clone(tmp_path / "second")
    second.run("dvc", "pull", "-q")
    assert "up to date" in second.run("dvc", "repro")
    assert not (second.path / "mlflow.db").exists()
    before = second.read("dvc.lock")

    second.run(*REGISTER)
    found = mlflow_in(second, RECORDED)
    same = ("model", "data", "params", "model_tags")
    assert {n: found[n] for n in same if n != "model_tags"} == {
        n: recorded[n] for n in same if n != "model_tags"
    }
    assert found["model_tags"]["fingerprint"] == recorded["model_tags"]["fingerprint"]
    trained = found["children"]["train"]
    assert trained["loss"] == recorded["children"]["train"]["loss"]
    assert not [name for name in trained["metrics"] if name.startswith(("system/", "duration"))]
    assert second.read("dvc.lock") == before
    assert json.loads(second.run("dvc", "status", "--json")) == {}


def test_the_exam_answers_as_the_evaluate_stage_does(done, tmp_path):
    """From raw media what that says from tensors, bit for bit."""
    options = {"model": "models/synesthesia", "samples": "data/samples.parquet"}
    options |= {"media": "data/media", "exam": str(tmp_path)}
    done.run("components.evaluate.exam", *(w for k, v in options.items() for w in (f"--{k}", v)))
    found = pd.read_parquet(tmp_path / "predictions.parquet")
    pd.testing.assert_frame_equal(found, pd.read_parquet(done.path / "data/predictions.parquet"))
    exam, metrics = (json.loads(done.read(f)) for f in (tmp_path / EXAM, "reports/metrics.json"))
    assert exam["slices"] == metrics["slices"]
    assert exam["metrics"].items() <= metrics.items()


def test_a_challenger_becomes_the_champion_if_the_gates_let_it(again):
    first = "accuracy/shape/image"
    gates = {f"promote.{name}": None for name in ("maximum_robustness_drop", "maximum_latency_ms")}
    gates |= {"promote.suite": "none", "promote.maximum_drop": {first: 0.5}}
    again.set(**gates, **{"promote.minimum": {"accuracy/shape/imag": 0.0}})
    again.refused(f"The nearest: {first}", "flows.promote")
    again.set(**gates, **{"promote.minimum": {first: 1.01}})
    assert again.try_("flows.promote").returncode == 3
    again.set(**gates, **{"promote.minimum": {first: 0.0}})
    assert "version 1 is the champion now, the first one" in again.run("flows.promote")

    same = "client.create_model_version('synesthesia', version.source, model_id=version.model_id)"
    mlflow_in(again, f"{same}.version")
    process = again.try_("flows.promote", "--version", "2")
    assert process.returncode == 3, process.stderr
    assert "version 2 is refused by 1 of 4 gates" in process.stdout
    again.set(**gates, **{"promote.minimum": {first: 0.0}, "promote.require": "not_worse"})
    promoted = again.run("flows.promote", "--version", "2")
    assert "version 2 is the champion now, instead of version 1" in promoted
    assert "version 1 has the alias again" in again.run("flows.promote", "--rollback")
    assert len(again.run("flows.promote", "--log").splitlines()) == 3
    assert "exams/" not in again.git("status", "--porcelain", "-uall")


@pytest.fixture(scope="session")
def asked(done, tmp_path_factory) -> pd.DataFrame:
    """Samples of the test split as raw media."""
    samples = read_table(done.path / "data/samples.parquet", SAMPLES)
    rows = samples[samples["split"] == "test"].head(6).reset_index(drop=True)
    table = pd.DataFrame({"id": rows["sample_id"]})
    for m in MODALITIES:
        wanted = set(rows[f"{m}_id"])
        contents = dict(media_of(done.path / f"data/media/{m}", wanted))
        table[m] = [contents[name] for name in rows[f"{m}_id"]]
    return table.assign(text=table["text"].str.decode("utf-8"))


REGISTER = ("dvc", "repro", "-q", "--force", "--single-item", "register")  # make register
ASK = "components.registry.predict"


def test_the_command_answers_what_is_given_to_it(done, asked, tmp_path):
    files = {}
    for m in ("image", "audio"):
        files[m] = tmp_path / m
        files[m].write_bytes(asked[m][0])
    image = ("--image", str(files["image"]))
    tasks = list(small_params()["tasks"])
    for more in (("--text", "what color is it?"), ("--audio", str(files["audio"]))):
        process = done.try_(ASK, *image, *more)
        assert [line.split()[0] for line in process.stdout.splitlines()] == tasks
        assert all(line.endswith("%") for line in process.stdout.splitlines())
        assert "no version of synesthesia is the champion yet" in process.stderr
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    message = "error: image that cannot be used: the image cannot be decoded"
    done.refused(message, ASK, "--image", str(broken))


def test_the_champion_answers_once_there_is_one(done, again):
    mlflow_in(again, "client.set_registered_model_alias('synesthesia', 'champion', '1')")
    process = again.try_(ASK, "--text", "what color is it?")
    assert process.returncode == 0 and process.stderr == ""


def expected_of(clone: Clone, table: pd.DataFrame) -> list[dict]:
    """What the model itself answers; None where it has no answer."""
    answers = Predictor(clone.path / "models/synesthesia")(table)
    return answers.astype(object).where(answers.notna(), None).to_dict("records")


def assert_same(found: dict, expected: dict) -> None:
    """The same answers, confidences but for rounding: batches of other sizes round otherwise."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        rounded = pytest.approx(value, rel=1e-4) if isinstance(value, float) else value
        assert found[name] == rounded, name


def test_a_table_is_answered_row_by_row_whatever_is_wrong_with_some(done, asked, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media/sound.wav").write_bytes(asked["audio"][1])
    table = asked.assign(number=range(len(asked)))
    table["audio"] = [None, "media/sound.wav", None, "media/none.wav", None, None]
    table["text"] = [*table["text"][:2], None, *table["text"][3:]]
    table["image"] = [*table["image"][:4], b"no image", None]
    table.loc[5, "text"] = None
    table.to_parquet(tmp_path / "in.parquet")
    said = done.run(
        ASK, "--table", str(tmp_path / "in.parquet"), "--answers", str(tmp_path / "out.parquet")
    )
    assert "3 of 6 rows answered, 3 not: see the column error" in said

    found = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["id"], row["number"]) for row in found] == list(
        zip(asked["id"], range(6), strict=True)
    )
    media = table[list(MODALITIES)].head(3).astype(object)
    media.at[1, "audio"] = asked["audio"][1]
    for row, expected in zip(found, expected_of(done, media), strict=False):
        assert row.pop("error") is None
        assert_same({name: row[name] for name in expected}, expected)
    wrong = ("media/none.wav cannot be read: No such file", "the image cannot be decoded")
    for row, message in zip(found[3:], [*wrong, "has no image, no text and no audio"], strict=True):
        assert message in row.pop("error")
        assert set(list(row.values())[2:]) == {None}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"picture": [b""]}, "has the columns picture; give it one of image, text, audio"),
        ({"text": [1.5]}, "column text of"),
        ({"text": ["a"], "answer": ["b"]}, "columns that the answers have too: answer"),
    ],
)
def test_a_table_that_cannot_be_asked_is_refused(done, tmp_path, table, message):
    pd.DataFrame(table).to_parquet(tmp_path / "in.parquet")
    answers = tmp_path / "out.parquet"
    done.refused(message, ASK, "--table", str(tmp_path / "in.parquet"), "--answers", str(answers))
    assert not answers.exists()


@pytest.fixture(scope="session")
def server(done):
    """The address of `mlflow models serve` with the clone's model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = ("-m", "models:/synesthesia@challenger", "--env-manager", "local", "--port", port)
    process = done.start(
        "mlflow", "models", "serve", *where, MLFLOW_TRACKING_URI="sqlite:///mlflow.db"
    )
    try:
        wait_until(lambda: is_up(f"http://127.0.0.1:{port}/health"), process)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        kill_group(process)


def is_up(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def test_a_server_answers_json_with_media_in_base64(done, asked, server):
    for subset in (["image"], ["text"], ["image", "text"], ["text", "audio"], list(MODALITIES)):
        media = asked[subset].head(2)
        encoded = media.map(lambda v: base64.b64encode(v).decode() if isinstance(v, bytes) else v)
        answer = requests.post(server, json={"dataframe_records": encoded.to_dict("records")})
        found = answer.json()["predictions"]
        for row, expected in zip(found, expected_of(done, media), strict=True):
            assert_same(row, expected)


def test_a_server_answers_parquet_whose_rows_have_different_subsets(done, asked, server):
    media = asked[list(MODALITIES)].head(3).astype(object)
    media.at[0, "image"] = media.at[1, "text"] = media.at[1, "audio"] = None
    kind = {"Content-Type": "application/vnd.apache.parquet"}
    answer = requests.post(server, data=media.to_parquet(), headers=kind)
    found = json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    for row, expected in zip(found["predictions"], expected_of(done, media), strict=True):
        assert_same(row, expected)


def test_a_server_says_what_is_wrong_with_a_question(server):
    answer = requests.post(server, json={"dataframe_records": [{"image": "bm8gaW1hZ2U="}]})
    assert answer.status_code == 400
    assert "the image cannot be decoded" in answer.json()["message"]
    assert "Traceback" not in answer.text


OPERATE = {
    "operate.commit": "retrained",
    "operate.push": True,
    "operate.warm_start": True,
    "promote.suite": "none",
    "promote.minimum": None,
    "promote.maximum_drop": None,
    "promote.require": "not_worse",
    "promote.maximum_robustness_drop": None,
    "promote.maximum_latency_ms": None,
}


def test_retraining(again, tmp_path, prefect_api):
    """The model is judged, kept and pushed; the next one goes on from it; then nothing is new."""

    def retrain() -> str:
        return again.run("flows.retrain", PREFECT_API_URL=prefect_api).splitlines()[-1]

    def commit() -> None:
        again.git("add", "params.yaml", ".dvc/config")
        again.git(*IDENTITY, "commit", "-qm", "settings")

    again.git("config", "user.name", "test")
    again.git("config", "user.email", "test@example.org")
    again.run("dvc", "remote", "add", "--default", "-q", "far", str(tmp_path / "far"))
    again.set(**OPERATE)
    commit()
    said = retrain()
    assert said.startswith("Promoted: version 1 is the champion, the first one; commit ")

    other = tmp_path / "other"
    again.git("clone", "-q", "-b", "retrained", str(again.path), str(other))
    other = Clone(other)
    other.run("dvc", "pull", "-q")
    assert changed(other) == set()
    for path in TRACKED:
        assert other.read(path) == again.read(path), path

    again.set(**OPERATE, **{"train.epochs": 3})
    commit()
    said = retrain()
    assert said.startswith("Promoted: version 2 is the champion, instead of 1; commit ")
    params = yaml.safe_load(again.git("show", "retrained:params.yaml"))
    assert params["train"]["start"] == "champion"
    assert params["features"]["image"]["pretrained"] == "champion.safetensors"
    assert "pretrained/model/champion.dvc" in again.git("ls-tree", "-r", "--name-only", "retrained")
    other.git("pull", "-q")
    other.run("dvc", "pull", "-q")
    assert changed(other) == set()

    tip = again.git("rev-parse", "retrained")
    assert retrain().startswith("Nothing new: nothing changed since the last run")
    assert again.git("rev-parse", "retrained") == tip

    said = again.run("flows.evaluate", "--suite", "none", PREFECT_API_URL=prefect_api)
    assert "examined with the suite none: version 2 (champion)" in said
    figures = mlflow_in(again, "run.data.metrics")
    metrics = json.loads(again.read("reports/metrics.json"))
    name = "accuracy/answer/image_text"
    assert figures[f"exam/none/metrics/{name}"] == pytest.approx(figures[name])
    assert metrics["accuracy"]["answer"]["image+text"] == pytest.approx(figures[name])


@pytest.fixture(scope="session")
def chaos(done) -> Iterator[Chaos]:
    """Rounds with servers of their own, which they kill."""
    require_postgresql()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.chmod(0o711)  # PostgreSQL's account passes through
    services = Services(folder / "services")
    try:
        services.start(ANY_PORTS)
        yield Chaos(done, services, seconds=(2, 4))
    finally:
        services.stop()
        shutil.rmtree(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_lost_when_something_is_killed(chaos, monkeypatch, tmp_path, kind):
    """One round of `make chaos` of each kind, while the model is registered."""
    for name, value in chaos.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    played = chaos.round(KINDS.index(kind), seed=0, forgotten=["register"])
    assert played.problems == (), played
