"""A model is examined, promoted if the gates let it, and retrained from."""

import json

import pandas as pd
import pytest
import yaml

from components.evaluate.evaluation import EXAM
from tests.clone import IDENTITY, TRACKED, Clone

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


def test_the_exam_answers_as_the_evaluate_stage_does(done, tmp_path):
    """From raw media what that says from tensors, bit for bit."""
    options = {"model": "models/synesthesia", "samples": "data/samples.parquet"}
    options |= {"media": "data/media", "exam": str(tmp_path)}
    done.run(
        "components.evaluate.evaluation", *(w for k, v in options.items() for w in (f"--{k}", v))
    )
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
    again.mlflow(f"{same}.version")
    process = again.try_("flows.promote", "--version", "2")
    assert process.returncode == 3, process.stderr
    assert "version 2 is refused by 1 of 4 gates" in process.stdout
    again.set(**gates, **{"promote.minimum": {first: 0.0}, "promote.require": "not_worse"})
    promoted = again.run("flows.promote", "--version", "2")
    assert "version 2 is the champion now, instead of version 1" in promoted
    assert "version 1 has the alias again" in again.run("flows.promote", "--rollback")
    assert len(again.run("flows.promote", "--log").splitlines()) == 3
    assert "exams/" not in again.git("status", "--porcelain", "-uall")


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
    assert other.changed() == set()
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
    assert other.changed() == set()

    tip = again.git("rev-parse", "retrained")
    assert retrain().startswith("Nothing new: nothing changed since the last run")
    assert again.git("rev-parse", "retrained") == tip

    said = again.run("flows.evaluate", "--suite", "none", PREFECT_API_URL=prefect_api)
    assert "examined with the suite none: version 2 (champion)" in said
    figures = again.mlflow("run.data.metrics")
    metrics = json.loads(again.read("reports/metrics.json"))
    name = "accuracy/answer/image_text"
    assert figures[f"exam/none/metrics/{name}"] == pytest.approx(figures[name])
    assert metrics["accuracy"]["answer"]["image+text"] == pytest.approx(figures[name])
