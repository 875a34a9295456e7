"""Predictions for every sample, subset and task that can be asked, and for no other."""

import json

import pandas as pd
import pytest
import torch
from components.modalities.registry import MODALITIES

from components.data.tables import PREDICTIONS, SAMPLES, read_table, write_table
from components.evaluate import predict as module
from components.evaluate.__main__ import fullest
from components.evaluate.measure import metrics
from components.evaluate.predict import predict, subsets
from tests.model.worlds import (
    CLASSES,
    EVERY_TASK,
    TASKS,
    ids_of,
    label_every_task,
    make_assets,
    make_inputs,
    make_model,
    make_table,
)

ASSETS = 10


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def table():
    table = make_table(40, ASSETS)
    table.loc[::7, "answer"] = None
    return table


@pytest.fixture(scope="module")
def predictions(model, table):
    return predict(model, table, make_assets(ASSETS), TASKS)


def test_subsets_start_small_and_end_with_all():
    found = list(subsets())
    assert len(found) == len(set(found)) == 7
    assert [len(s) for s in found] == [1, 1, 1, 2, 2, 2, 3]
    assert found[-1] == MODALITIES


def test_every_question_that_can_be_asked_is_asked_once(predictions, table):
    expected = set()
    for row in table.itertuples():
        here = {m for m in MODALITIES if pd.notna(getattr(row, f"{m}_id"))}
        for subset in subsets():
            for task, options in TASKS.items():
                decided = not options.decided_by or set(options.decided_by) & set(subset)
                if set(subset) <= here and decided and pd.notna(getattr(row, options.column)):
                    expected.add((row.sample_id, "+".join(subset), task))
    found = list(
        zip(predictions["sample_id"], predictions["subset"], predictions["task"], strict=True)
    )
    assert set(found) == expected
    assert len(found) == len(expected)


def test_targets_are_the_table_s_and_predictions_are_classes(predictions, table, tmp_path):
    labels = table.set_index("sample_id")
    for row in predictions.itertuples():
        assert row.target == labels.loc[row.sample_id, TASKS[row.task].column]
        assert row.prediction in CLASSES[row.task]
    write_table(tmp_path / "p.parquet", predictions, PREDICTIONS)


def test_a_prediction_is_what_the_model_says_of_the_sample_alone(model, predictions, table):
    inputs = make_inputs(ASSETS)
    samples = table.set_index("sample_id")
    for row in predictions.sample(25, random_state=0).itertuples():
        given = {}
        for m in row.subset.split("+"):
            place = ids_of(m, ASSETS).index(samples.loc[row.sample_id, f"{m}_id"])
            given[m] = {name: value[place : place + 1] for name, value in inputs[m].items()}
        rows = {m: torch.tensor([0 if m in given else -1]) for m in MODALITIES}
        with torch.no_grad():
            shares = model(model.encode(given), rows)[row.task].softmax(1)[0]
        assert CLASSES[row.task][int(shares.argmax())] == row.prediction
        assert float(shares.max()) == pytest.approx(row.confidence, abs=1e-5)


@pytest.mark.parametrize("size", [1, 7])
def test_the_batch_size_changes_no_answer(model, predictions, table, monkeypatch, size):
    monkeypatch.setattr(module, "BATCH", size)
    again = predict(model, table, make_assets(ASSETS), TASKS)
    keys = ["sample_id", "subset", "task"]
    one, other = (t.sort_values(keys).reset_index(drop=True) for t in (predictions, again))
    pd.testing.assert_frame_equal(one, other, rtol=1e-4)


def test_the_fullest_prediction_of_a_sample_is_from_all_it_has(predictions, table):
    best = fullest(predictions)
    assert not best.duplicated(["sample_id", "task"]).any()
    samples = table.set_index("sample_id")
    for row in best.itertuples():
        here = [m for m in MODALITIES if pd.notna(samples.loc[row.sample_id, f"{m}_id"])]
        assert row.subset == "+".join(here)


def test_samples_that_all_lack_a_modality(model):
    table = make_table(6, ASSETS, missing=0.0).assign(audio_id=pd.Series([None] * 6, dtype="str"))
    found = predict(model, table, make_assets(ASSETS), TASKS)
    assert set(found["subset"]) == {"image", "text", "image+text"}


def test_no_label_at_all_is_an_empty_table(model, tmp_path):
    table = make_table(3, ASSETS)
    table[list(CLASSES)] = None
    found = predict(model, table, make_assets(ASSETS), TASKS)
    assert list(found.columns) == list(PREDICTIONS.columns) and found.empty


def test_tasks_of_every_kind_are_in_one_table(tmp_path):
    table = label_every_task(make_table(30, ASSETS), ASSETS)
    table.loc[:4, "size"] = float("nan")
    table.at[7, "reply"] = ("nobody knows",) * 10  # an answer that training never had
    write_table(tmp_path / "s.parquet", table, SAMPLES)
    table = read_table(tmp_path / "s.parquet", SAMPLES)  # lists come back as arrays
    model = make_model(every=True)
    found = predict(model, table, make_assets(ASSETS), EVERY_TASK)
    write_table(tmp_path / "p.parquet", found, PREDICTIONS)
    found = read_table(tmp_path / "p.parquet", PREDICTIONS)
    assert set(found["task"]) == set(EVERY_TASK)
    sizes = found[found["task"] == "size"]
    assert not set(sizes["sample_id"]) & set(table["sample_id"][:5])
    assert sizes["confidence"].isna().all()
    tags = found[found["task"] == "tags"]
    assert all("image" in subset for subset in tags["subset"])
    row = tags.iloc[0]
    label = table.set_index("sample_id").loc[row["sample_id"], "tags"]
    assert json.loads(row["target"]) == list(label) and len(json.loads(row["prediction"])) == 3
    assert json.loads(found[found["task"] == "reply"].iloc[0]["target"]).count("dunno") == 3
    assert "0007" in set(found.loc[found["task"] == "reply", "sample_id"])
    measured = metrics(found, model.kinds)
    assert {name: set(tasks) for name, tasks in measured.items()} == {
        "accuracy": {"answer"},
        "f1": {"tags"},
        "mean_average_precision": {"tags"},
        "mean_absolute_error": {"size"},
        "r2": {"size"},
        "vqa_accuracy": {"reply"},
        "bleu_4": {"caption"},
        "rouge_l": {"caption"},
        "cider": {"caption"},
    }
    captions = found[found["task"] == "caption"]
    assert all("image" in subset or "text" in subset for subset in captions["subset"])
    assert captions["confidence"].between(0, 1).all()
    assert len(measured["vqa_accuracy"]["reply"]) == 7
