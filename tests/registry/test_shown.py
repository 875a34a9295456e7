"""What MLflow's pages show of a model."""

import json

import pytest

from components.common.metrics import Figures, Metric, definitions
from components.registry.names import mlflow_name
from components.registry.shown import (
    MAX_METRICS,
    VIEW,
    decisive,
    figure_table,
    logged,
    named_by_gates,
    runs_page,
    save_view,
)

FIGURES = Figures(
    {
        "accuracy": {"answer": {"image": 0.5, "image-text": 0.75}, "shape": {"image": 1.0}},
        "macro_f1": {"answer": {"image": 0.25, "image-text": 0.5}, "shape": {"image": 0.75}},
        "recall_at_1": {"find": {"text to image": 0.25}},
        "recall_at_5": {"find": {"text to image": 0.5}},
        "ceiling": {"answer": {"image": 1.0}},
        "slices": {"answer": {"language": {"C": {"image": 0.1}, "C#": {"image": 0.2}}}},
        "definitions": definitions(
            [
                *(Metric("accuracy", primary=True), Metric("recall_at_1", primary=True)),
                *(Metric("macro_f1"), Metric("recall_at_5")),
            ]
        ),
    }
)
GATE = "slices/answer/language/C#/image"
BEST = ["accuracy/answer/image-text", "accuracy/shape/image", "recall_at_1/find/text to image"]


def test_gates_name_the_figures_of_both_kinds():
    promote = {"minimum": {GATE: 0.1}, "maximum_drop": {GATE: 0.1, BEST[0]: 0.2}, "alias": "x"}
    assert named_by_gates(promote) == [GATE, BEST[0]]
    assert named_by_gates({"minimum": None}) == []


def test_gates_and_best_of_each_task_decide():
    assert decisive(FIGURES, [GATE, "accuracy/unknown/image"]) == [GATE, *BEST]


def test_other_metrics_of_the_most_modalities_follow_then_the_other_primary_ones():
    beside = [
        "macro_f1/answer/image-text",
        "macro_f1/shape/image",
        "recall_at_5/find/text to image",
    ]
    assert logged(FIGURES, []) == [*BEST, *beside, "accuracy/answer/image"]


def test_run_has_few_metrics():
    tasks = {f"task {number}": {"image": 0.5, "text": 0.5} for number in range(100)}
    many = Figures(
        {"accuracy": tasks, "definitions": definitions([Metric("accuracy", primary=True)])}
    )
    assert len(logged(many, [])) == MAX_METRICS
    assert logged(many, ["accuracy/task 99/image"])[0] == "accuracy/task 99/image"


def test_table_has_the_names_here_and_in_mlflow():
    table = figure_table(FIGURES.by_name())
    row = table[table["figure"] == GATE].iloc[0]
    assert (row["metric"], row["value"]) == (mlflow_name(*GATE.split("/")), 0.2)
    assert len(set(table["metric"])) == len(FIGURES.by_name())


@pytest.mark.parametrize(
    ("store", "server"),
    [
        ("sqlite:///mlflow.db", "http://127.0.0.1:5000"),
        ("https://mlflow.example.org/", "https://mlflow.example.org"),
    ],
)
def test_page_opens_the_view_for_model_training(store, server):
    assert runs_page(store, "7") == (
        f"{server}/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=decisive"
    )


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_view_has_a_column_per_figure_that_decides(store):
    from components.registry.tracking import connect

    mlflow = connect()
    experiment = mlflow.MlflowClient().create_experiment("views")
    save_view(mlflow, experiment, [GATE, *BEST])
    content = json.loads(mlflow.get_experiment(experiment).tags[VIEW])
    assert content["name"] == "What decides"
    columns = json.loads(content["state"])["selectedColumns"]
    names = ["slices/answer/language/C:23:/image", *BEST]
    assert columns == ["attributes.`Models`", *(f"metrics.`{name}`" for name in names)]
