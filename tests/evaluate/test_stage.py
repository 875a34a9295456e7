"""The whole stage, on a model with a task of every kind."""

from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from components.common.files import read_json, write_json
from components.common.metrics import DEFINITIONS, EVALUATED_SPLIT, SLICES, Figures
from components.data.samples import asset_column, read_samples, samples_schema
from components.data.tables import read_table, write_table
from components.evaluate import report
from components.evaluate.__main__ import STAGE, EvaluateArguments
from components.evaluate.baselines import ABOVE, BASELINES_KEY
from components.evaluate.measure import CEILING
from components.evaluate.zero_shot import ACCURACY, MAJORITY
from components.modalities.registry import MODALITIES
from components.model.folder import save_model
from components.stage.arguments import option_name
from components.tasks.baseline import BASELINES
from components.tasks.metrics import PREDICTIONS
from components.tasks.retrieval.metrics import RANKS
from components.tasks.retrieval.settings import RetrievalSettings
from components.training.tables import HISTORY, STEPS
from tests.support.params import small_params, write_params
from tests.support.tiny_model import (
    EVERY_TASK,
    PRESENT,
    ids_of,
    label_every_task,
    make_assets,
    make_inputs,
    make_model,
    make_processors,
    make_table,
    write_assets,
)

ASSETS = 10
PROMPTS = {"answer": {"templates": ["it is {}", "{}!"], "words": {"b": "bee"}}}
FIND = RetrievalSettings(column="place", query="text", target="image")


def embeddings_of(model) -> dict[str, Tensor]:
    """Return the embeddings of all assets, as the align stage would write them."""
    assets = make_assets(ASSETS, model)
    with torch.no_grad():
        return {m: model.projections.embed(m, assets[m].tensors["pooled"]) for m in PRESENT}


def baselines(table: pd.DataFrame) -> pd.DataFrame:
    """Return what a baseline of two tasks would get right that is always wrong, off by 100."""
    rows = table[table["split"] != "train"][["sample_id", "split"]]
    always = rows.assign(task="answer", baseline="majority", numerator=0.0, denominator=1.0)
    far = rows.assign(task="size", baseline="mean", numerator=100.0, denominator=1.0)
    return pd.concat([always, far])


def write_inputs(folder: Path, split: str = "test") -> None:
    """Write what the stage reads: each file and folder has the name of its option."""
    tasks = {
        name: task.model_dump(mode="json") for name, task in (EVERY_TASK | {"find": FIND}).items()
    }
    changes = {"tasks": tasks, "ingest.slices": ["place"], "evaluate.prompts": PROMPTS}
    changes["evaluate.split"] = split
    write_params(folder / "params", small_params(changes))
    (folder / "code").touch()  # nothing is listed
    model = make_model(every=True)
    save_model(folder / "model", model, make_processors())
    (folder / "encoders").mkdir()
    save_file(model.encoder("text").state_dict(), folder / "encoders/text.safetensors")
    save_file(model.projections.state_dict(), folder / "projections")
    save_file(embeddings_of(model), folder / "embeddings")
    table = label_every_task(make_table(60, ASSETS), ASSETS).assign(place=["hill", "sea"] * 30)
    write_table(folder / "samples", table, samples_schema(MODALITIES))
    rows = [(0, "f1 all", "tags", 0.5), (0, "loss", "tags", 0.7)]
    history = pd.DataFrame(rows, columns=list(HISTORY.columns))
    write_table(folder / "histories/train.csv", history, HISTORY)
    rows = [(step, "loss", "tags", 0.7) for step in range(3)]
    write_table(folder / "steps", pd.DataFrame(rows, columns=list(STEPS.columns)), STEPS)
    write_json(folder / "retrieval", {"recall_at_1": {}, "recall_at_5": {}})
    ranks = {"task": "find", "asset_id": ids_of("text", ASSETS), "rank": [1] * 4 + [6] * 6}
    write_table(folder / "ranks", pd.DataFrame(ranks).assign(targets=ASSETS), RANKS)
    write_table(folder / "baselines", baselines(table), BASELINES)
    write_json(folder / "fits", {})
    for m in PRESENT:
        write_assets(folder / "tensors" / m, folder / "media" / m, m, make_inputs(ASSETS)[m])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder after the stage has run in it."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_inputs(folder)
    return evaluated(folder)


def evaluated(folder: Path) -> Path:
    """Run the stage in a folder and return it."""
    options = [(option_name(item), str(folder / item.name)) for item in fields(EvaluateArguments)]
    STAGE.main([word for option in options for word in option])
    return folder


@pytest.fixture(scope="module")
def metrics(folder) -> dict:
    return read_json(folder / "metrics")


def test_every_task_has_metrics_for_every_decidable_subset(folder, metrics):
    last = [CEILING, SLICES, DEFINITIONS, EVALUATED_SPLIT]
    assert next(iter(metrics)) == "accuracy" and list(metrics)[-4:] == last
    assert {t for _, tasks in Figures(metrics).tables() for t in tasks} == {*EVERY_TASK, "find"}
    assert metrics["recall_at_5"]["find"] == {"text to image": 0.4}
    assert metrics["median_rank"]["find"] == {"text to image": 6.0}
    assert len(metrics["vqa_accuracy"]["reply"]) == 7
    assert set(metrics[CEILING]) == set(metrics["accuracy"]) == {"answer"}
    assert set(metrics["f1"]["tags"]) == {"image", "image-text", "image-audio", "image-text-audio"}
    assert set(metrics[SLICES]["size"]["place"]) == {"hill", "sea"}
    rows = read_table(folder / "predictions", PREDICTIONS)
    rows = rows[(rows["task"] == "size") & (rows["subset"] == "text")].astype({"target": float})
    expected = (rows["target"] - rows["prediction"].astype(float)).abs().mean()
    assert metrics["mean_absolute_error"]["size"]["text"] == pytest.approx(expected)


def test_every_task_has_a_primary_metric(metrics):
    figures = Figures(metrics)
    assert {task: figures.primary(task).name for task in (*EVERY_TASK, "find")} == {
        **{"answer": "accuracy", "tags": "f1", "size": "mean_absolute_error"},
        **{"reply": "vqa_accuracy", "caption": "rouge_l", "find": "recall_at_1"},
    }
    assert not figures.metric("slices/size/place/sea/image").higher_is_better


def test_model_is_compared_with_baselines(folder, metrics):
    assert metrics[BASELINES_KEY] == {"answer": {"majority": 0.0}, "size": {"mean": 100.0}}
    assert metrics[ABOVE.name]["answer"] == metrics["accuracy"]["answer"]
    errors = metrics["mean_absolute_error"]["size"]
    assert metrics[ABOVE.name]["size"] == {
        subset: pytest.approx(100 - error) for subset, error in errors.items()
    }
    assert Figures(metrics).metric(f"{ABOVE.name}/answer/image").higher_is_better
    assert "<h2>The model beside simple baselines</h2>" in (folder / "report").read_text()


def test_prompts_classify_every_modality(folder, metrics):
    samples = read_samples(folder / "samples", MODALITIES)
    for m in PRESENT:
        given = samples[asset_column(m)].notna()
        answers = samples.loc[(samples["split"] == "test") & given, "answer"]
        majority = answers.value_counts(normalize=True).max()
        assert metrics[MAJORITY]["answer"][m] == pytest.approx(majority)
    assert set(metrics[ACCURACY.name]) == {"answer"}
    assert list(metrics[ACCURACY.name]["answer"]) == list(PRESENT)


def test_report_and_plots_show_every_task(folder):
    page = (folder / "report").read_text()
    for task in (*EVERY_TASK, "find"):
        assert f"<td>{task}</td>" in page
    assert "<h2>Zero-shot classification by prompts</h2>" in page
    assert page.count("<td>it is {}; {}!</td>") == len(PRESENT)
    assert {path.stem for path in (folder / "plots").iterdir()} == {
        *("accuracy_by_modalities", "history_train", "steps_train", "confusion_answer"),
        *("precision_tags", "predicted_size", "answers_reply", "rouge_caption", "ranks_find"),
    }


def test_figures_of_the_validation_split_say_so(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "draw", lambda results: {})
    write_inputs(tmp_path, "validation")
    metrics = read_json(evaluated(tmp_path) / "metrics")
    assert Figures(metrics).split == "validation"
    samples = read_samples(tmp_path / "samples", MODALITIES).set_index("sample_id")
    predicted = read_table(tmp_path / "predictions", PREDICTIONS)["sample_id"].unique()
    assert set(samples.loc[predicted, "split"]) == {"validation"}
    assert "<h1>Evaluation on the validation split</h1>" in (tmp_path / "report").read_text()
