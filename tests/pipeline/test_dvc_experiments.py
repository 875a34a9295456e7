"""Experiments of DVC: what a temporary copy of the project registers is in the project's MLflow."""

import json

FOUND = """[[v.version, v.tags["fingerprint"]]
    for v in client.search_model_versions("name = 'synesthesia'")]"""


def test_temporary_experiment_is_registered_and_applied(committed):
    committed.run("dvc", "exp", "run", "-q", "--temp", "--name", "longer", "-S", "train.epochs=3")
    assert committed.git("status", "--porcelain") == ""
    shown = json.loads(committed.run("dvc", "exp", "show", "--json"))
    assert "longer" in json.dumps(shown)
    found = dict(committed.mlflow(FOUND))
    assert found.keys() == {1, 2}

    committed.run("dvc", "exp", "apply", "-q", "longer")
    assert "up to date" in committed.run("dvc", "repro")
    assert found[2] == committed.read_json("reports/registration.json")["fingerprint"]
    assert dict(committed.mlflow(FOUND)) == found
    served = [path.read_bytes() for path in committed.path.glob("mlartifacts/**/model.safetensors")]
    assert committed.read("models/synesthesia/model.safetensors") in served


def test_queued_experiment_registers_in_the_project(committed):
    words = ("--queue", "--name", "queued", "-S", "register.experiment=queued")
    committed.run("dvc", "exp", "run", "-q", *words)
    committed.run("dvc", "exp", "run", "--run-all", "--jobs", "1")
    place = committed.mlflow("client.get_experiment_by_name('queued').artifact_location")
    assert place.startswith((committed.path / "mlartifacts").as_uri())
