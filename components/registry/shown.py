"""What MLflow's pages show of a model: the figures that decide, and all of them in one table."""

import json
import time
from collections.abc import Collection, Iterator, Mapping
from types import ModuleType
from typing import Any

import pandas as pd

from components.common.metrics import Figures
from components.registry.names import mlflow_name

MAX_METRICS = 30  # of a run: what a person can read
MAX_COLUMNS = 10  # of the list of runs
KEY = "decisive"  # of the view
VIEW = f"mlflow.sharedViewState.{KEY}"  # tag of an experiment: one of its list's saved views
LOCAL = "http://127.0.0.1:5000"  # where `make ui` serves a store that is no server
GATES = ("minimum", "maximum_drop")  # settings of promote whose keys are names of figures


def named_by_gates(promote: Mapping[str, Any]) -> list[str]:
    """Return the names of the figures that the gates of a section `promote` refer to."""
    return list(dict.fromkeys(name for gate in GATES for name in promote.get(gate) or ()))


def decisive(figures: Figures, gates: Collection[str]) -> list[str]:
    """Return the names of the figures that decide.

    These are those that `gates` names, then the primary metric of each task from the most
    modalities.
    """
    known = figures.by_name()
    named = [name for gate in gates for name in known if f"{name}/".startswith(f"{gate}/")]
    return list(dict.fromkeys([*named, *(names[-1] for names in primary_names(figures))]))


def logged(figures: Figures, gates: Collection[str]) -> list[str]:
    """Return the names of the figures that a run has as metrics, at most `MAX_METRICS`.

    These are those that decide, then the other metrics of each task from the most modalities, such
    as macro F1, then the other primary metrics.
    """
    beside = (names[-1] for names in _names(figures, primary=False))
    others = (name for names in primary_names(figures) for name in names)
    return list(dict.fromkeys([*decisive(figures, gates), *beside, *others]))[:MAX_METRICS]


def primary_names(figures: Figures) -> Iterator[list[str]]:
    """Yield per task the names of its primary figures, that from the most modalities last."""
    return _names(figures, primary=True)


def _names(figures: Figures, primary: bool) -> Iterator[list[str]]:
    for metric, tasks in figures.tables():
        for task, values in tasks.items():
            if figures.metrics[metric].primary == primary and values:
                yield [f"{metric}/{task}/{subset}" for subset in values]


def figure_table(figures: Mapping[str, float]) -> pd.DataFrame:
    """Return figures by name as a table, with the names that they have in MLflow."""
    metrics = [mlflow_name(*name.split("/")) for name in figures]
    values = list(figures.values())
    return pd.DataFrame({"figure": list(figures), "metric": metrics, "value": values})


def runs_page(store: str, experiment: str) -> str:
    """Return the address of an experiment's list of runs with the view that `save_view` saves.

    Without its first parameter MLflow opens in its mode for GenAI, which has no list of runs.
    """
    server = store.rstrip("/") if store.startswith("http") else LOCAL
    view = f"workflowType=machine_learning&viewStateShareKey={KEY}"
    return f"{server}/#/experiments/{experiment}/runs?{view}"


def save_view(mlflow: ModuleType, experiment: str, names: Collection[str]) -> None:
    """Save a view of an experiment's list of runs, whose columns are the figures that decide.

    MLflow's page lists it under *Views*; by default the list shows no metrics.
    """
    columns = [f"metrics.`{mlflow_name(*name.split('/'))}`" for name in names][:MAX_COLUMNS]
    state = {"selectedColumns": ["attributes.`Models`", *columns]}
    now = int(time.time() * 1000)
    content = {"name": "What decides", "createdAt": now, "updatedAt": now}
    value = json.dumps(content | {"state": json.dumps(state)})
    mlflow.MlflowClient().set_experiment_tag(experiment, VIEW, value)
