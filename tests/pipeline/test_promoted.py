"""A model is evaluated, promoted if the gates let it, and retrained from."""

import pandas as pd
import pytest
import yaml

from components.evaluate.evaluation.results import PREDICTED, RESULTS
from flows.promote import main
from tests.support.clone import IDENTITY, TRACKED, Clone

NO_GATES = {
    "promote.suite": "none",
    "promote.minimum": None,
    "promote.maximum_drop": None,
    "promote.require": "not_worse",
    "promote.maximum_robustness_drop": None,
    "promote.maximum_latency_ms": None,
}


def test_evaluation_equals_evaluate_stage(done, tmp_path):
    """From raw media what the stage predicts from tensors, bit for bit."""
    options = {"model": "models/synesthesia", "samples": "data/samples.parquet"}
    options |= {"media": "data/media", "evaluation": str(tmp_path)}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    done.run("components.evaluate.evaluation", *words)
    found = pd.read_parquet(tmp_path / PREDICTED)
    pd.testing.assert_frame_equal(found, pd.read_parquet(done.path / "data/predictions.parquet"))
    figures = done.read_json(tmp_path / RESULTS)["figures"]
    metrics = done.read_json("reports/metrics.json")
    definitions = metrics.pop("definitions")
    assert all(row in definitions for row in figures.pop("definitions"))
    assert figures.items() <= metrics.items()


@pytest.fixture
def promote(again, preloaded, monkeypatch, capfd):
    """Run `flows.promote` in the clone, in this process; return its exit code and output."""
    monkeypatch.chdir(again.path)
    # Absolute, since MLflow keeps a connection per address.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{again.path}/mlflow.db")

    def call(*words: str) -> tuple[int, str]:
        try:
            code = main(words)
        except SystemExit as ended:
            code = ended.code
        printed = "".join(capfd.readouterr())
        assert "Traceback" not in printed
        return code, printed

    return call


def test_gates_decide_who_becomes_champion(again, promote):
    first = "accuracy/shape/image"
    gates = NO_GATES | {"promote.maximum_drop": {first: 0.5}, "promote.require": "better"}
    again.set(**gates | {"promote.minimum": {"accuracy/shape/imag": 0.0}})
    code, printed = promote()
    assert code == 2 and f"The most similar on the test split: {first}" in printed
    again.set(**gates | {"promote.minimum": {first: 1.01}})
    assert promote()[0] == 3
    again.set(**gates | {"promote.minimum": {first: 0.0}})
    code, printed = promote()
    assert code == 0 and "version 1 is the champion now, the first one" in printed

    same = "client.create_model_version('synesthesia', version.source, model_id=version.model_id)"
    again.mlflow(f"{same}.version")
    code, printed = promote("--version", "2")
    assert code == 3, printed
    assert "version 2 is refused by 1 of 4 gates" in printed
    again.set(**gates | {"promote.minimum": {first: 0.0}, "promote.require": "not_worse"})
    code, printed = promote("--version", "2")
    assert code == 0 and "version 2 is the champion now, instead of version 1" in printed
    code, printed = promote("--rollback")
    assert code == 0 and "version 1 has the alias again" in printed
    code, printed = promote("--log")
    assert code == 0 and len(printed.splitlines()) == 3
    assert "evaluations/" not in again.git("status", "--porcelain", "-uall")


def test_retraining(again, tmp_path, prefect_api):
    """The model is judged, committed and pushed; the next one starts from it; then nothing is new.

    Another clone of the branch is complete each time.
    """
    operate = {"operate.commit": "retrained", "operate.push": True, "operate.warm_start": True}

    def retrain() -> str:
        return again.run("flows.retrain", PREFECT_API_URL=prefect_api).splitlines()[-1]

    def commit() -> None:
        again.git("add", "params.yaml", ".dvc/config")
        again.git(*IDENTITY, "commit", "-qm", "settings")

    again.git("config", "user.name", "test")
    again.git("config", "user.email", "test@example.org")
    again.run("dvc", "remote", "add", "--default", "-q", "far", str(tmp_path / "far"))
    again.set(**NO_GATES, **operate)
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

    again.set(**NO_GATES, **operate, **{"train.epochs": 3})
    commit()
    said = retrain()
    assert said.startswith("Promoted: version 2 is the champion, instead of 1; commit ")
    params = yaml.safe_load(again.git("show", "retrained:params.yaml"))
    assert params["train"]["warm_start"] == "champion"
    assert params["features"]["image"]["pretrained"] == "champion.safetensors"
    assert "pretrained/model/champion.dvc" in again.git("ls-tree", "-r", "--name-only", "retrained")
    other.git("pull", "-q")
    other.run("dvc", "pull", "-q")
    assert other.changed() == set()

    tip = again.git("rev-parse", "retrained")
    assert retrain().startswith("Nothing new: nothing changed since the last run")
    assert again.git("rev-parse", "retrained") == tip

    said = again.run("flows.evaluate", "--suite", "none", PREFECT_API_URL=prefect_api)
    assert "evaluated with the suite none: version 2 (champion)" in said
    figures = again.mlflow("run.data.metrics")
    metrics = again.read_json("reports/metrics.json")
    name = "accuracy/answer/image-text-audio"
    assert figures[f"evaluation/none/{name}"] == pytest.approx(figures[name])
    assert metrics["accuracy"]["answer"]["image-text-audio"] == pytest.approx(figures[name])
