"""Evaluation of registered models, and whether a challenger still has to be judged."""

from threading import Event

import pytest

from components.common.errors import InputError
from flows.promotion.gates import Gate
from flows.promotion.promotion import Decision
from flows.promotion.registered_model import RegisteredModel
from tests.flows.registry import EVERY_STORE, Registered

FIGURES = {"accuracy/answer/image-text": 0.5, "size_bytes": 12}


@pytest.fixture
def registered(store) -> Registered:
    """A registered model with two versions and no aliases."""
    return Registered.create(f"model-{store.unique}", versions=2)


@pytest.mark.parametrize(
    ("aliases", "found"),
    [
        ({"champion": "1", "challenger": "2"}, [("champion", "1"), ("challenger", "2")]),
        ({"champion": "2", "challenger": "2"}, [("champion", "2")]),
        ({"challenger": "2"}, [("challenger", "2")]),
    ],
)
def test_champion_and_challenger_are_candidates(registered, aliases, found):
    from flows.evaluate import candidates

    for alias, version in aliases.items():
        registered.set_alias(alias, version)
    assert list(candidates().items()) == found


def test_no_candidate_is_refused(registered, prefect_api):
    from flows.evaluate import candidates, evaluate

    message = "has the alias champion or challenger. Make a model: make run"
    with pytest.raises(InputError, match=message):
        candidates()
    registered.client.delete_registered_model(registered.name)
    with pytest.raises(InputError, match="MLflow has no registered model"):
        candidates()
    assert evaluate(return_state=True).name == "Invalid"


@pytest.mark.parametrize("database", EVERY_STORE, indirect=True)
def test_figures_are_logged_once_per_evaluation(registered):
    from flows.evaluate import log_figures

    client, model = registered.client, RegisteredModel()
    run_id = client.get_model_version(registered.name, "1").run_id
    shown = ["accuracy/answer/image-text", "size_bytes", "measured/nowhere"]
    for fingerprint, size in (("a", 12), ("a", 12), ("b", 13)):
        figures = FIGURES | {"size_bytes": size, "ceiling/answer/image": 1.0}
        log_figures(model, "1", "full", fingerprint, figures, shown)
    history = client.get_metric_history(run_id, "evaluation/full/size_bytes")
    assert [(metric.step, metric.value) for metric in history] == [(0, 12), (1, 13)]
    metrics = client.get_run(run_id).data.metrics
    assert metrics.keys() == {f"evaluation/full/{name}" for name in shown[:2]}
    assert metrics["evaluation/full/accuracy/answer/image-text"] == 0.5
    tables = [file.path for file in client.list_artifacts(run_id, "evaluation/full")]
    assert tables == ["evaluation/full/0.json", "evaluation/full/1.json"]
    assert registered.tags("1")["evaluation.full"] == "b"


def test_challenger_is_undecided_until_judged(registered, monkeypatch):
    import flows.retrain

    assert not flows.retrain.is_undecided()  # there is none
    registered.set_alias("champion", "1")
    registered.set_alias("challenger", "2")
    assert flows.retrain.is_undecided()
    passed = Decision("2", "1", True, [Gate("minimum", 0.5, "≥ 0.4", True)])
    monkeypatch.setattr(flows.retrain, "promote", lambda dry, stopping: passed)
    assert flows.retrain.judge.fn(True, Event()) is passed
    assert registered.tags("2")["gate"].startswith("waiting for a person since ")
    assert not flows.retrain.is_undecided()
    assert registered.champion == "1"


def test_champion_is_not_undecided(registered):
    from flows.retrain import is_undecided

    registered.set_alias("champion", "2")
    registered.set_alias("challenger", "2")
    assert not is_undecided()


def test_pages():
    from flows.evaluate import evaluation_page, robustness_page

    group = "robustness/image/answer/image-text"
    clean = {f"{group}/clean": 0.9, f"{group}/corrupted": 0.45, f"{group}/relative": 0.5}
    figures = {"champion": {**FIGURES, **clean}, "challenger": {"size_bytes": 14}}
    assert evaluation_page(figures).splitlines() == [
        "| figure | champion | challenger |",
        "| --- | --- | --- |",
        "| accuracy/answer/image-text | 0.5 | – |",
        "| size_bytes | 12 | 14 |",
    ]
    assert robustness_page(figures).splitlines()[2:] == [
        "| image/answer/image-text | 0.9 | 0.45 | 0.5 | – | – | – |"
    ]
