"""Predictions for every sample, subset of modalities and task that the subset can decide."""

import json

import pandas as pd
import pytest
import torch

from components.data.samples import (
    asset_column,
    modalities_named,
    read_samples,
    samples_schema,
    subset_name,
)
from components.data.subsets import subsets
from components.data.tables import read_table, write_table
from components.evaluate import predict as module
from components.evaluate.measure import by_task, metrics_by_task, most_modalities
from components.evaluate.predict import predict
from components.modalities.registry import MODALITIES
from components.tasks.metrics import PREDICTIONS
from tests.support.tiny_model import (
    CLASSES,
    EVERY_TASK,
    PRESENT,
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


def modalities_of(row) -> list[str]:
    """Return the modalities that a sample has."""
    return [m for m in PRESENT if pd.notna(getattr(row, asset_column(m)))]


def test_every_decidable_prediction_is_made_once(predictions, table):
    expected = set()
    for row in table.itertuples():
        present = set(modalities_of(row))
        for subset in subsets(PRESENT):
            for task, options in TASKS.items():
                sufficient = options.sufficient_modalities
                decided = not sufficient or set(sufficient) & set(subset)
                if set(subset) <= present and decided and pd.notna(getattr(row, options.column)):
                    expected.add((row.sample_id, subset_name(subset), task))
    keys = (predictions[column] for column in ("sample_id", "subset", "task"))
    found = list(zip(*keys, strict=True))
    assert set(found) == expected
    assert len(found) == len(expected)


def test_targets_are_the_labels_and_predictions_are_classes(predictions, table):
    PREDICTIONS.validate(predictions)
    labels = table.set_index("sample_id")
    for row in predictions.itertuples():
        assert row.target == labels.loc[row.sample_id, TASKS[row.task].column]
        assert row.prediction in CLASSES[row.task]


def test_prediction_equals_that_of_the_sample_alone(model, predictions, table):
    inputs = make_inputs(ASSETS)
    samples = table.set_index("sample_id")
    for row in predictions.sample(25, random_state=0).itertuples():
        given = {}
        for m in modalities_named(row.subset):
            place = ids_of(m, ASSETS).index(samples.loc[row.sample_id, asset_column(m)])
            given[m] = {name: value[place : place + 1] for name, value in inputs[m].items()}
        rows = {m: torch.tensor([0 if m in given else -1]) for m in PRESENT}
        with torch.no_grad():
            probabilities = model(model.encode(given), rows)[row.task].softmax(1)[0]
        assert CLASSES[row.task][int(probabilities.argmax())] == row.prediction
        assert float(probabilities.max()) == pytest.approx(row.confidence, abs=1e-5)


def test_batch_size_changes_no_prediction(model, predictions, table, monkeypatch):
    monkeypatch.setattr(module, "BATCH_SIZE", 7)
    again = predict(model, table, make_assets(ASSETS), TASKS)
    keys = ["sample_id", "subset", "task"]
    one, other = (t.sort_values(keys).reset_index(drop=True) for t in (predictions, again))
    pd.testing.assert_frame_equal(one, other, rtol=1e-4)


def test_samples_with_the_same_assets_are_predicted_once(model, table, monkeypatch):
    """And all of them get the prediction, each beside its own label."""
    seen = []
    monkeypatch.setattr(model, "forward", lambda f, rows: seen.append(rows) or forward(f, rows))
    twice = pd.concat([table, table.assign(sample_id=table["sample_id"] + "-again")])
    twice["answer"] = ["a", "b"] * len(table)
    forward = type(model).forward.__get__(model)
    found = predict(model, twice.reset_index(drop=True), make_assets(ASSETS), TASKS).reset_index()
    for rows in seen:
        given = torch.stack(list(rows.values()), 1)
        assert len(given.unique(dim=0)) == len(given)
    again = found["sample_id"].str.endswith("-again")
    one, other = (
        found[side].assign(sample_id=found["sample_id"].str.removesuffix("-again"))
        for side in (~again, again)
    )
    key = ["task", "subset", "sample_id"]
    both = one.merge(other, on=key, suffixes=("", "_again"))
    both = both[both["task"] != "answer"]
    assert len(both) and (both["prediction"] == both["prediction_again"]).all()
    answers = found[found["task"] == "answer"]
    labels = twice.set_index("sample_id")["answer"]
    assert (answers["target"] == answers["sample_id"].map(labels)).all()


def test_prediction_from_the_most_modalities_uses_all_of_a_sample(predictions, table):
    best = most_modalities(predictions)
    assert not best.duplicated(["sample_id", "task"]).any()
    present = {row.sample_id: subset_name(modalities_of(row)) for row in table.itertuples()}
    assert (best["subset"] == best["sample_id"].map(present)).all()


def test_samples_may_all_lack_a_modality(model):
    table = make_table(6, ASSETS, missing=0.0).assign(audio_id=pd.Series([None] * 6, dtype="str"))
    found = predict(model, table, make_assets(ASSETS), TASKS)
    assert set(found["subset"]) == {"image", "text", "image-text"}


def test_model_of_fewer_modalities_ignores_the_others():
    model = make_model(modalities=("image", "text"))
    found = predict(model, make_table(12, ASSETS), make_assets(ASSETS), TASKS)
    assert set(found["subset"]) == {"image", "text", "image-text"}


def test_no_label_gives_an_empty_table(model):
    table = make_table(3, ASSETS)
    table[list(CLASSES)] = None
    found = predict(model, table, make_assets(ASSETS), TASKS)
    assert list(found.columns) == list(PREDICTIONS.columns) and found.empty


def test_tasks_of_every_kind_are_in_one_table(tmp_path):
    table = label_every_task(make_table(30, ASSETS), ASSETS)
    table.loc[:4, "size"] = float("nan")
    table.at[7, "reply"] = ("nobody knows",) * 10  # an answer that training never had
    write_table(tmp_path / "s.parquet", table, samples_schema(MODALITIES))
    table = read_samples(tmp_path / "s.parquet", MODALITIES)  # lists come back as arrays
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
    replies = found[found["task"] == "reply"]
    assert json.loads(replies.iloc[0]["target"]).count("dunno") == 3
    assert "0007" in set(replies["sample_id"])
    measured = by_task(found, metrics_by_task(model))
    assert {name: set(tasks) for name, tasks in measured.items()} == {
        "accuracy": {"answer"},
        "macro_f1": {"answer"},
        "f1": {"tags"},
        "mean_average_precision": {"tags"},
        "mean_absolute_error": {"size"},
        "r2": {"size"},
        "vqa_accuracy": {"reply"},
        "bleu_4": {"caption"},
        "rouge_l": {"caption"},
        "cider": {"caption"},
    }
    assert len(measured["vqa_accuracy"]["reply"]) == 7
    captions = found[found["task"] == "caption"]
    assert all("image" in subset or "text" in subset for subset in captions["subset"])
    assert captions["confidence"].between(0, 1).all()
