"""What MLflow has of the model and of all that made it, however often it is registered."""

import importlib.metadata
import json
import os
import shutil
import subprocess

import pandas as pd
import pytest
import yaml

from components.common.metrics import Figures
from components.registry.shown import VIEW
from tests.support.clone import IDENTITY, REGISTER, Clone
from tests.support.params import small_params
from tests.support.preloaded import KILLED, preloaded_python
from tests.support.stages import STAGES

# Runs a stage, which is killed where it calls a method of MLflow's client.
DYING = """
import os, runpy, signal, sys
from mlflow import MlflowClient
method, module, *sys.argv[1:] = sys.argv[1:]
setattr(MlflowClient, method, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""

# What MLflow has of the model and its runs.
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
    "figures": mlflow.artifacts.load_text(f"{run.info.artifact_uri}/figures.json"),
    "name": run.info.run_name,
    "views": [tag for tag in client.get_experiment(run.info.experiment_id).tags if "View" in tag],
    "card": mlflow.artifacts.load_text(f"{run.info.artifact_uri}/model_card.md"),
})(client.search_runs([run.info.experiment_id],
    f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"))"""


# The registered model, loaded as any user of MLflow would.
LOADED = """(lambda model: {
    "inputs": {c.name: [c.type.name, c.required] for c in model.metadata.get_input_schema()},
    "outputs": model.metadata.get_output_schema().input_names(),
    "example": list(model.input_example.columns),
    "rows": model.predict(model.input_example).to_dict("records"),
})(mlflow.pyfunc.load_model("models:/synesthesia@challenger"))"""


@pytest.fixture(scope="session")
def both(done) -> list[dict]:
    """`RECORDED` and `LOADED`, which take seconds to import MLflow."""
    return done.mlflow(f"[{RECORDED}, {LOADED}]")


@pytest.fixture(scope="session")
def recorded(both) -> dict:
    """What MLflow has of the clone's model and runs."""
    return both[0]


@pytest.fixture(scope="session")
def loaded(both) -> dict:
    """What the registered model says of itself, and predicts for its example."""
    return both[1]


def test_run_has_what_made_the_model(pair, done, recorded):
    assert recorded["status"] == "FINISHED"
    assert recorded["params"]["train.epochs"] == str(small_params()["train"]["epochs"])
    assert recorded["params"]["preprocess.audio.n_mels"] == "16"
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
        assert os.uname().nodename not in str(text) and str(pair[0].path) not in str(text)


def test_each_training_is_a_child_run(done, recorded):
    trained = {"features_image", "features_text", "features_audio", "align", "train"}
    assert recorded["children"].keys() == trained
    lock = yaml.safe_load(done.read("dvc.lock"))["stages"]
    for stage, child in recorded["children"].items():
        keys = set(lock[stage]["params"]["data/settings.yaml"])
        assert {name.split(".")[0] for name in child["params"]} == {k.split(".")[0] for k in keys}
        history = pd.read_csv(done.path / f"reports/history/{stage}.csv")
        assert len(child["metrics"]) >= len(history.groupby(["series", "task"]))
    train = recorded["children"]["train"]
    assert train["params"]["train.batch_size"] == "16"
    assert "train.batch_size" not in recorded["children"]["align"]["params"]
    history = pd.read_csv(done.path / "reports/history/train.csv")
    rows = history[(history["series"] == "loss") & (history["task"] == "answer")]
    assert train["loss"] == rows[["epoch", "value"]].to_numpy().tolist()
    assert "steps/loss/answer" in train["metrics"]


def test_child_runs_have_resource_usage(recorded):
    for child in recorded["children"].values():
        assert child["metrics"]["system/process_memory_usage_megabytes"] > 50
        assert child["metrics"]["system/cpu_utilization_percentage"] >= 0
        assert child["seconds"] == pytest.approx(child["metrics"]["duration_seconds"], abs=0.01)
    assert recorded["metrics"]["system/system_memory_usage_megabytes"] > 0


def test_run_has_data_sets(done, recorded):
    lock = yaml.safe_load(done.read("dvc.lock"))["stages"]
    outs = {out["path"]: out["md5"] for row in lock.values() for out in row["outs"]}
    counts = done.read_json("reports/data.json")["samples"]
    for split, context in (("train", "training"), ("validation", "validation"), ("test", "test")):
        expected = [outs["data/samples.parquet"], counts[split], context]
        assert recorded["data"][f"samples, {split}"] == expected
    deps = {dep["path"]: dep["md5"] for row in lock.values() for dep in row["deps"]}
    images = len(pd.read_parquet(done.path / "data/media/image/index.parquet"))
    assert recorded["data"]["media, image"] == [deps["data/media/image"], images, "media"]


def test_version_has_tags_to_compare(done, recorded):
    tags = dict(recorded["model_tags"])
    fingerprint = done.read_json("reports/registration.json")["fingerprint"]
    assert tags.pop("fingerprint") == fingerprint == recorded["tags"]["fingerprint"]
    assert tags.pop("git_commit") == done.git("rev-parse", "HEAD").strip()
    assert tags.pop("git_dirty") == "false"
    lock = yaml.safe_load(done.read("dvc.lock"))["stages"]["ingest"]["outs"]
    (samples,) = (out["md5"] for out in lock if out["path"] == "data/samples.parquet")
    assert tags.pop("data") == samples[:8]
    report, metrics = (done.read_json(f"reports/{name}.json") for name in ("data", "metrics"))
    assert tags.pop("samples") == str(sum(report["samples"].values()))
    assert tags.pop("evaluated on") == "test"
    best = {t: list(values.values())[-1] for t, values in metrics["accuracy"].items()}
    assert tags == {f"accuracy/{t}": f"{v:.4f}" for t, v in best.items()}
    assert recorded["model"]["accuracy/answer/image-text-audio"] == best["answer"]


def test_card_has_figures_and_provenance(done, recorded):
    card, short = recorded["card"], recorded["description"]
    metrics = done.read_json("reports/metrics.json")["accuracy"]
    predictions = pd.read_parquet(done.path / "data/predictions.parquet")
    for (task, subset), rows in predictions.groupby(["task", "subset"]):
        line = f"| {task} | classification | {subset} | accuracy | {metrics[task][subset]:.2%} |"
        assert line in card and f"| {len(rows)} |" in card
    commit = done.git("rev-parse", "HEAD").strip()
    for text in (card, short):
        assert f"git checkout {commit} && dvc repro" in text
        assert "is predicted only where text or audio is given" in text
        assert "| train |" in text and "None" not in text and len(short) <= 5000
    assert "epochs: 2" in card and "epochs: 2" not in short
    quarantine = done.read_json("reports/data.json")["quarantine"]
    assert all(f"{count} × `{reason}`" in short for reason, count in quarantine.items())


def test_metrics_equal_those_of_json_files(done, recorded):
    metrics = done.read_json("reports/metrics.json")
    retrieval = Figures(done.read_json("reports/retrieval.json"))
    figures = Figures(metrics).by_name() | retrieval.by_name()
    table = pd.DataFrame(**json.loads(recorded["figures"]))
    found = dict(zip(table["figure"], table["value"], strict=True))
    assert found == pytest.approx(figures, abs=1e-9)
    assert list(table["metric"]) == list(table["figure"])  # none here has to be escaped
    primary = [name for name in figures if name.startswith("accuracy/")]
    shown = {k: v for k, v in recorded["metrics"].items() if not k.startswith("system/")}
    assert shown.items() <= figures.items(), set(shown) - set(figures)
    gates = yaml.safe_load(done.read("params.yaml"))["promote"]["minimum"]
    decisive = {name for name in gates if name in figures}
    decisive |= {f"macro_f1/{task}/{list(of)[-1]}" for task, of in metrics["macro_f1"].items()}
    assert decisive <= set(shown) and len(shown) <= 30 and set(shown) & set(primary)
    shown = json.loads(done.run("dvc", "metrics", "show", "--json"))[""]["data"]
    assert shown["reports/metrics.json"]["data"]["accuracy"] == metrics["accuracy"]


def test_list_of_runs_shows_what_decides(recorded):
    fingerprint = recorded["tags"]["fingerprint"]
    assert recorded["name"].startswith("image-text-audio ")
    assert recorded["name"].endswith(f" {fingerprint[:8]}")
    assert recorded["views"] == [VIEW]


def test_run_has_plots_and_reports(done, recorded):
    files = {"report.html", "data.html", "data.json", "settings.yaml", "plots", "data_plots"}
    assert files <= set(recorded["files"])
    plots = {f"plots/{path.name}" for path in (done.path / "reports/plots").glob("*.png")}
    assert plots and plots <= set(recorded["files"])


def test_model_has_signature_and_predicts_its_example(done, loaded):
    assert loaded["inputs"] == {
        "image": ["binary", False], "text": ["string", False], "audio": ["binary", False],
        "tabular": ["string", False],
    }  # fmt: skip
    tasks = list(small_params()["tasks"])
    assert loaded["outputs"] == [c for task in tasks for c in (task, f"{task}_confidence")]
    assert loaded["example"] == ["image", "text", "audio"]
    vocabulary = done.read_json("data/vocabulary.json")
    (row,) = loaded["rows"]
    assert all(row[task] in vocabulary[task]["classes"] for task in tasks)
    assert all(0 < row[f"{task}_confidence"] <= 1 for task in tasks)


def test_logged_model_names_no_path_of_this_machine(done):
    (described,) = (done.path / "mlartifacts").rglob("MLmodel")
    for path in described.parent.iterdir():
        assert path.is_dir() or str(done.path) not in path.read_text(), path


def test_nothing_is_pickled(done):
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


def test_registering_again_changes_nothing(recorded, again):
    assert recorded["versions"] == 1
    assert recorded["runs"] == 1 + len(recorded["children"])
    before = again.read("reports/registration.json")
    again.run(*STAGES["register"].call)
    assert again.read("reports/registration.json") == before
    assert again.mlflow(COUNTS) == [1, recorded["runs"], 1]


def test_concurrent_registrations_make_one_version(recorded, again, empty_store):
    """In an empty store: one is killed with half of its run logged, then two register at once."""
    shutil.copy(empty_store, again.path / "mlflow.db")
    command = STAGES["register"].call
    process = again.try_python("-c", DYING, "log_model_artifacts", *command)
    assert process.returncode == KILLED
    both = [again.start(*command, python=preloaded_python()) for _ in range(2)]
    for process in both:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    found = again.mlflow(RECORDED)
    assert found["status"] == "FINISHED"
    assert (found["versions"], found["runs"]) == (1, recorded["runs"])
    same = ("model_tags", "description", "card", "model", "data", "params")
    assert {name: found[name] for name in same} == {name: recorded[name] for name in same}


def test_pulled_clone_registers_with_one_command(recorded, again, tmp_path):
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
    found = second.mlflow(RECORDED)
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


PREDICT = ("components.serving.predict", "--text", "is there a circle?")
DELETE_VERSION = "client.delete_model_version('synesthesia', version.version)"
DELETE_RUN = f"[{DELETE_VERSION}, client.delete_run(run.info.run_id)]"


def test_deleted_champion_is_registered_again_as_the_message_says(again):
    again.mlflow("client.set_registered_model_alias('synesthesia', 'champion', '1')")
    again.mlflow(DELETE_VERSION)
    message = "If that finds nothing to do, register the one that is here: make register"
    again.refused(message, *PREDICT)
    again.refused(message, "flows.promote")
    assert "up to date" in again.run("dvc", "repro")
    again.run(*REGISTER)
    assert again.mlflow("version.aliases") == ["challenger"]
    assert "answer" in again.run(*PREDICT)


def test_lost_files_of_a_version_are_registered_again_as_the_message_says(own_store):
    shutil.rmtree(own_store.path / "mlartifacts")
    message = "delete the version and its run in MLflow (make ui), then register the model that is"
    own_store.refused(message, "flows.promote")
    own_store.mlflow(DELETE_RUN)
    own_store.run(*REGISTER)
    assert "answer" in own_store.run(*PREDICT)
