"""The whole stage, on a model with a task of every kind."""

import sys

import pandas as pd
import pytest
import torch
from components.modalities.registry import MODALITIES
from safetensors.torch import save_file

from components.common.files import read_json, write_json
from components.data.tables import (
    HISTORY,
    PREDICTIONS,
    RANKS,
    SAMPLES,
    STEPS,
    read_table,
    write_table,
)
from components.evaluate.__main__ import STAGE, work
from components.modalities.text.processing import train_tokenizer
from components.model.folder import save_model
from components.tasks.settings import TaskSettings
from tests.model.worlds import (
    EVERY_TASK,
    EVERY_VOCABULARY,
    ids_of,
    label_every_task,
    make_assets,
    make_inputs,
    make_model,
    make_table,
    write_assets,
)
from tests.shrunk import small_params, small_settings, write_params

ASSETS = 10
PROMPTS = {"answer": {"templates": ["it is {}", "{}!"], "words": {"b": "bee"}}}
FIND = TaskSettings(kind="retrieval", column="place", query="text", target="image", weight=1.0)


def embeddings_of(model) -> dict[str, torch.Tensor]:
    """Where the model puts the assets, as the align stage would write it."""
    assets = make_assets(ASSETS, model)
    with torch.no_grad():
        return {m: model.projections.embed(m, assets[m].tensors["pooled"]) for m in MODALITIES}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder after the stage has run."""
    here = tmp_path_factory.mktemp("evaluate")
    tasks = {
        name: task.model_dump(mode="json", exclude_none=True)
        for name, task in (EVERY_TASK | {"find": FIND}).items()
    }
    changes = {"tasks": tasks, "ingest.slices": ["place"], "evaluate.prompts": PROMPTS}
    write_params(here / "params.yaml", small_params(changes))
    tokenizer = train_tokenizer(["is it red?"], small_settings().preprocess.text)
    model = make_model(every=True)
    save_model(here / "model", model, tokenizer.to_str())
    save_file(model.encoders["text"].state_dict(), here / "text-encoder")
    save_file(model.projections.state_dict(), here / "projections")
    save_file(embeddings_of(model), here / "embeddings")
    table = label_every_task(make_table(60, ASSETS), ASSETS).assign(place=["hill", "sea"] * 30)
    write_table(here / "samples", table, SAMPLES)
    rows = [(0, "f1 (all)", "tags", 0.5), (0, "loss", "tags", 0.7)]
    history = pd.DataFrame(rows, columns=list(HISTORY.columns))
    write_table(here / "histories/train.csv", history, HISTORY)
    rows = [(step, "loss", "tags", 0.7) for step in range(3)]
    write_table(here / "steps", pd.DataFrame(rows, columns=list(STEPS.columns)), STEPS)
    write_json(here / "retrieval", {"recall_at_1": {}, "recall_at_5": {}})
    ranks = {"task": "find", "asset_id": ids_of("text", ASSETS), "rank": [1] * 4 + [6] * 6}
    write_table(here / "ranks", pd.DataFrame(ranks).assign(targets=ASSETS), RANKS)
    for m in MODALITIES:
        write_assets(here / f"{m}-tensors", here / "media" / m, m, make_inputs(ASSETS)[m])
    words = [w for name in (*STAGE.inputs, *STAGE.outputs) for w in (f"--{name}", str(here / name))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["evaluate", "--params", str(here / "params.yaml"), *words])
        STAGE.run(work)
    return here


def test_metrics_of_every_task_are_there_for_every_subset_that_can_be_asked(done):
    metrics = read_json(done / "metrics")
    assert next(iter(metrics)) == "accuracy" and list(metrics)[-2:] == ["ceiling", "slices"]
    assert {task for name in metrics for task in metrics[name]} == {*EVERY_TASK, "find"}
    assert metrics["recall_at_5"]["find"] == {"text→image": 0.4}
    assert metrics["median_rank"]["find"] == {"text→image": 6.0}
    assert len(metrics["vqa_accuracy"]["reply"]) == 7
    assert set(metrics["ceiling"]) == set(metrics["accuracy"]) == {"answer"}
    assert set(metrics["f1"]["tags"]) == {"image", "image+text", "image+audio", "image+text+audio"}
    assert set(metrics["slices"]["size"]["place"]) == {"hill", "sea"}
    rows = read_table(done / "predictions", PREDICTIONS)
    rows = rows[(rows["task"] == "size") & (rows["subset"] == "text")].astype({"target": float})
    expected = (rows["target"] - rows["prediction"].astype(float)).abs().mean()
    assert metrics["mean_absolute_error"]["size"]["text"] == pytest.approx(expected)


def test_classes_are_told_by_prompts_from_every_modality(done):
    metrics = read_json(done / "metrics")
    samples = read_table(done / "samples", SAMPLES)
    for m in MODALITIES:
        answers = samples.loc[(samples["split"] == "test") & samples[f"{m}_id"].notna(), "answer"]
        most = answers.value_counts(normalize=True).max()
        assert metrics["zero_shot_chance"]["answer"][m] == pytest.approx(most)
    assert set(metrics["zero_shot_accuracy"]) == {"answer"}
    assert list(metrics["zero_shot_accuracy"]["answer"]) == list(MODALITIES)


def test_the_report_and_the_plots_show_every_task(done):
    page = (done / "report").read_text()
    for task in (*EVERY_VOCABULARY, "find"):
        assert f"<td>{task}</td>" in page
    assert "<h2>Zero-shot classification by prompts</h2>" in page
    assert page.count("<td>it is {}; {}!</td>") == len(MODALITIES)
    assert {path.name for path in (done / "plots").iterdir()} == {
        "accuracy_by_modalities.png", "history_train.png", "steps_train.png",
        "confusion_answer.png", "precision_tags.png", "predicted_size.png", "answers_reply.png",
        "likeness_caption.png",
        "found_find.png",
    }  # fmt: skip
