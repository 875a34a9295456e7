"""Cross-validation of the small pipeline, killed and continued, and an ensemble as a version."""

import json
import shutil

import pandas as pd

from components.data.samples import read_samples
from components.data.tables import read_table
from components.ingest.quarantine import QUARANTINE
from components.modalities.registry import MODALITIES
from tests.support.clone import Clone, kill_group, wait_until

COMMAND = ("flows.crossvalidate", "--folds", "2")
HOME = "work/crossvalidation/2-folds"
FIGURE = "accuracy/answer/image-text"
EVALUATION = (
    *("components.evaluate.evaluation", "--params", "data/settings.yaml"),
    *("--model", "models/synesthesia", "--samples", "data/samples.parquet"),
    *("--media", "data/media", "--evaluation", "judged"),
)
RUNS = """[r.info.run_name
    for r in client.search_runs([run.info.experiment_id], "tags.crossvalidation != ''")]"""
VERSIONS = """[[v.version, v.aliases]
    for v in client.search_model_versions("name = 'synesthesia'")]"""


def stages(printed: str) -> list[str]:
    """Return fold and module of the stages that ran."""
    lines = (line.split(": > python -m ") for line in printed.splitlines())
    return [f"{line[0]} {line[1].split()[0]}" for line in lines if len(line) == 2]


def held_out(clone: Clone, fold: str) -> set[str]:
    """Return the samples of a fold."""
    samples = read_samples(clone.path / fold / "data/samples.parquet", MODALITIES)
    return set(samples.loc[samples["split"] == "test", "sample_id"])


def unknown(clone: Clone, fold: str) -> set[str]:
    """Return the samples of classes that the training samples of a fold do not have."""
    bad = read_table(clone.path / fold / "data/quarantine.parquet", QUARANTINE)
    return set(bad.loc[bad["reason"] == "label_unknown", "row_id"])


def test_folds_run_in_copies_and_continue_after_sigkill(committed):
    clone, versions = committed, committed.mlflow(VERSIONS)
    stopped = clone.start(*COMMAND)
    wait_until((clone.path / HOME / "fold-1/data/samples.parquet").exists, stopped)
    kill_group(stopped)
    printed = clone.run(*COMMAND)
    assert "> python -m components.preprocess --params data/settings.yaml --modality image" not in (
        printed  # images do not depend on the fold
    )
    assert FIGURE in printed.rpartition("mean")[2]
    content = clone.read(f"{HOME}/crossvalidation.json")
    assert json.loads(content)["figures"][FIGURE]["std"] is not None

    assert clone.git("status", "--porcelain") == ""
    assert clone.changed() == set()
    assert clone.mlflow(VERSIONS) == versions
    (name,) = runs = clone.mlflow(RUNS)
    assert name.startswith("2 folds bilinear ")

    homes = [f"{HOME}/fold-{number}" for number in (1, 2)]
    parts = [held_out(clone, home) for home in homes]
    usual = read_samples(clone.path / "data/samples.parquet", MODALITIES)
    left = set(usual.loc[usual["split"] != "test", "sample_id"]).difference(*parts)
    assert parts[0].isdisjoint(parts[1])
    assert left <= set().union(*(unknown(clone, home) for home in homes))

    assert stages(clone.run(*COMMAND, "--jobs", "2")) == []
    shutil.rmtree(clone.path / HOME / "fold-1")
    again = stages(clone.run(*COMMAND))
    assert again and all(stage.startswith("fold 1 of 2") for stage in again)
    assert clone.read(f"{HOME}/crossvalidation.json") == content
    assert clone.mlflow(RUNS) == runs


def test_ensemble_is_a_version_like_any_other(own_store):
    """Of two equal models, so that it answers as each of them."""
    clone, names = own_store, ["fold-1", "fold-2"]
    before = pd.read_parquet(clone.path / "data/predictions.parquet")
    for name in names:
        shutil.copytree(clone.path / "models/synesthesia", clone.path / "pretrained/model" / name)
    clone.set(**{"train.ensemble": names})
    clone.run("dvc", "repro", "-q")
    after = pd.read_parquet(clone.path / "data/predictions.parquet")
    pd.testing.assert_frame_equal(after, before, rtol=1e-4)
    assert clone.mlflow("run.info.run_name").startswith("2 × image-text-audio bilinear")
    card = clone.mlflow("mlflow.artifacts.load_text(f'runs:/{run.info.run_id}/model_card.md')")
    assert "the answers of 2 models are averaged, fold-1, fold-2." in card
    printed = clone.run("components.serving.predict", "--text", "what color is the circle?")
    assert printed.startswith("answer ")
    clone.run(*EVALUATION)
    found = clone.read_json("judged/evaluation.json")
    assert found["figures"]["accuracy"] == clone.read_json("reports/metrics.json")["accuracy"]
