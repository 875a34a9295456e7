"""Comparison of two evaluations on disk."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from components.common.errors import InputError
from components.common.files import write_json
from components.common.metrics import DEFINITIONS, Metric
from components.data.tables import write_table
from components.evaluate.comparison.__main__ import STAGE
from components.evaluate.comparison.compare import comparable, compare, compare_all
from components.evaluate.comparison.statistics import mcnemar
from components.evaluate.evaluation.results import CONTRIBUTED, RESULTS, Evaluation
from components.evaluate.tables import CONTRIBUTIONS
from components.tasks.classification.metrics import ClassificationMetrics
from components.tasks.regression.metrics import RegressionMetrics
from tests.support.params import small_params, write_params

ACCURACY, ERROR = ClassificationMetrics.primary(), RegressionMetrics.primary()


def evaluation(
    folder: Path, tasks: Mapping[str, list[float]], metrics: Mapping[str, Metric] | None = None
) -> Evaluation:
    """Write an evaluation in which each cluster has one prediction per task.

    Args:
        folder: to write to.
        tasks: what each cluster adds to the primary metric of each task.
        metrics: of the tasks; by default accuracy.
    """
    rows = [
        (task, "image", str(cluster), value, 1.0)
        for task, values in tasks.items()
        for cluster, value in enumerate(values)
    ]
    table = pd.DataFrame(rows, columns=list(CONTRIBUTIONS.columns))
    write_table(folder / CONTRIBUTED, table, CONTRIBUTIONS)
    figures: dict = {}
    used = {task: (metrics or {}).get(task, ACCURACY) for task in tasks}
    for task, values in tasks.items():
        figures.setdefault(used[task].name, {})[task] = {"image": sum(values) / len(values)}
    definitions = [asdict(metric) for metric in dict.fromkeys(used.values())]
    content = {"figures": figures | {DEFINITIONS: definitions}, "tasks": ["unlabelled", *tasks]}
    write_json(folder / RESULTS, content)
    return Evaluation(folder)


def test_values_drop_and_clusters(tmp_path):
    champion = evaluation(tmp_path / "old", {"shape": [1.0] * 10 + [0.0] * 10})
    challenger = evaluation(tmp_path / "new", {"shape": [1.0] * 15 + [0.0] * 5})
    found = compare("accuracy/shape/image", 0.1, challenger, champion, 0)
    assert (found.challenger, found.champion, found.drop) == (0.75, 0.5, -0.25)
    assert (found.clusters, found.margin) == (20, 0.1)
    assert found.p_better == mcnemar(5, 0)


def test_direction_comes_from_the_definition(tmp_path):
    """Of an error, whatever it is called."""
    for name in (ERROR.name, "accuracy"):
        metrics = {"size": Metric(name, higher_is_better=False, unit="label", primary=True)}
        champion = evaluation(tmp_path / f"old {name}", {"size": [2.0, 3.0] * 20}, metrics)
        challenger = evaluation(tmp_path / f"new {name}", {"size": [1.0, 2.0] * 20}, metrics)
        better = compare(f"{name}/size/image", 0.1, challenger, champion, 0)
        assert better.drop == -1.0 and better.p_better < 0.05
        worse = compare(f"{name}/size/image", 0.1, champion, challenger, 0)
        assert worse.drop == 1.0 and worse.p_better == 1.0 and worse.p_within > 0.05


def test_only_clusters_of_both_are_compared(tmp_path):
    champion = evaluation(tmp_path / "old", {"shape": [1.0] * 10})
    challenger = evaluation(tmp_path / "new", {"shape": [1.0] * 10 + [0.0] * 10})
    found = compare("accuracy/shape/image", 0.1, challenger, champion, 0)
    assert (found.clusters, found.challenger, found.drop) == (10, 1.0, 0.0)


def test_task_of_one_model_only_decides(tmp_path):
    old = evaluation(tmp_path / "old", {"shape": [1.0] * 30})
    new = evaluation(tmp_path / "new", {"shape": [1.0] * 30, "colour": [1.0, 0.0] * 15})
    gained = compare("accuracy/colour/image", 0.1, new, old, 0)
    assert (gained.challenger, gained.champion, gained.drop) == (0.5, None, None)
    assert (gained.p_within, gained.p_better) == (0, 0)
    lost = compare("accuracy/colour/image", 0.1, old, new, 0)
    assert (lost.challenger, lost.champion, lost.drop) == (None, 0.5, None)
    assert (lost.p_within, lost.p_better) == (1, 1)


def test_unknown_figure_suggests_nearest(tmp_path):
    found = evaluation(tmp_path, {"shape": [1.0] * 3})
    assert comparable(found) == ["accuracy/shape/image"]
    message = "not compared by 'accuracy/shape/imag'. Did you mean 'accuracy/shape/image'?"
    with pytest.raises(InputError, match=f"promote.maximum_drop: models are {message}"):
        compare("accuracy/shape/imag", 0.1, found, found, 0)


def test_several_metrics_are_adjusted(tmp_path):
    champion = evaluation(tmp_path / "old", {"a": [0.0] * 6 + [1.0] * 20, "b": [1.0] * 26})
    challenger = evaluation(tmp_path / "new", {"a": [1.0] * 26, "b": [1.0] * 26})
    margins = {"accuracy/a/image": 0.1, "accuracy/b/image": 0.1}
    first, second = compare_all(challenger, champion, margins, 0)
    alone = compare("accuracy/a/image", 0.1, challenger, champion, 0)
    assert first.p_better == 2 * alone.p_better == pytest.approx(2 / 2**6)
    assert first.p_within == alone.p_within and second.p_better == 1.0


@pytest.fixture
def words(tmp_path) -> list[str]:
    """The command line of a comparison by accuracy."""
    for name in ("challenger", "champion"):
        evaluation(tmp_path / name, {"shape": [1.0] * 9})
    changes = {"promote.maximum_drop": {"accuracy/shape/image": 0.1}}
    write_params(tmp_path / "params.yaml", small_params(changes))
    names = ("params.yaml", "challenger", "champion", "comparison.json")
    options = ("--params", "--challenger", "--champion", "--comparison")
    return [w for o, name in zip(options, names, strict=True) for w in (o, str(tmp_path / name))]


def test_command_writes_a_row_per_metric(tmp_path, words):
    STAGE.main(words)
    (row,) = json.loads((tmp_path / "comparison.json").read_text())
    assert row["metric"] == "accuracy/shape/image" and row["margin"] == 0.1
    assert (row["clusters"], row["drop"], row["p_better"]) == (9, 0.0, 1.0)


def test_command_refuses_an_unknown_figure(tmp_path, words, capsys):
    changes = {"promote.maximum_drop": {"accuracy/shpae/image": 0.1}}
    write_params(tmp_path / "params.yaml", small_params(changes))
    with pytest.raises(SystemExit, match="2"):
        STAGE.main(words)
    assert "Did you mean 'accuracy/shape/image'?" in capsys.readouterr().err


def test_unmeasured_task_proves_nothing(tmp_path):
    one = evaluation(tmp_path, {"shape": [1.0]})
    found = compare("accuracy/unlabelled/image", 0.1, one, one, 0)
    assert (found.clusters, found.challenger, found.champion) == (0, None, None)
    assert (found.p_within, found.p_better) == (1.0, 1.0)
