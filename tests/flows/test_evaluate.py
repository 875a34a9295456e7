"""The weekly exam and the judgement of challengers, against stores of either kind."""

from threading import Event

import pytest

from components.common.errors import InputError
from flows.gates import Gate
from flows.promote import PARAMS, Decision, Desk
from tests.shrunk import small_params, write_params

FIGURES = {"metrics/accuracy/answer/image+text": 0.5, "size_bytes": 12}


@pytest.fixture
def desk(store) -> Desk:
    """With an empty registry of its own."""
    write_params(PARAMS, small_params({"register.model": f"model-{store.unique}"}))
    return Desk()


def register(desk: Desk, **aliases: str) -> None:
    """Versions 1 and 2, each with a run, and aliases of them."""
    client = desk.mlflow.MlflowClient()
    client.create_registered_model(desk.model)
    experiment = client.create_experiment(desk.model)
    for _ in range(2):
        run = client.create_run(experiment)
        client.create_model_version(desk.model, f"runs:/{run.info.run_id}/model", run.info.run_id)
    for alias, version in aliases.items():
        client.set_registered_model_alias(desk.model, alias, version)


@pytest.mark.parametrize(
    ("aliases", "found"),
    [
        ({"champion": "1", "challenger": "2"}, [("champion", "1"), ("challenger", "2")]),
        ({"champion": "2", "challenger": "2"}, [("champion", "2")]),
        ({"challenger": "2"}, [("challenger", "2")]),
    ],
)
def test_who_is_examined(desk, aliases, found):
    from flows.evaluate import candidates

    register(desk, **aliases)
    assert list(candidates().items()) == found


def test_nobody_to_examine(desk, prefect_api):
    from flows.evaluate import candidates, evaluate

    register(desk)
    with pytest.raises(InputError, match="is champion or challenger. Make a model first"):
        candidates()
    assert evaluate(return_state=True).name == "Invalid"


def test_figures_are_logged_once_an_exam(desk):
    from flows.evaluate import record

    register(desk)
    client = desk.mlflow.MlflowClient()
    run_id = client.get_model_version(desk.model, "1").run_id
    for exam, size in (("a", 12), ("a", 12), ("b", 13)):
        record(desk, "1", "full", exam, FIGURES | {"size_bytes": size})
    history = client.get_metric_history(run_id, "exam/full/size_bytes")
    assert [(metric.step, metric.value) for metric in history] == [(0, 12), (1, 13)]
    metrics = client.get_run(run_id).data.metrics
    assert metrics["exam/full/metrics/accuracy/answer/image_text"] == 0.5
    assert client.get_model_version(desk.model, "1").tags["exam.full"] == "b"


def test_a_challenger_waits_until_it_was_judged(desk, monkeypatch):
    import flows.retrain

    assert not flows.retrain.undecided()  # there is none
    register(desk, champion="1", challenger="2")
    assert flows.retrain.undecided()
    passed = Decision("2", "1", True, [Gate("minimum", 0.5, "≥ 0.4", True)])
    monkeypatch.setattr(flows.retrain, "promote", lambda dry, stopping: passed)
    assert flows.retrain.judge.fn(True, Event()) is passed
    tags = desk.mlflow.MlflowClient().get_model_version(desk.model, "2").tags
    assert tags["gate"].startswith("waits for a person since ")
    assert not flows.retrain.undecided()
    assert desk.log.champion() == "1"


def test_a_champion_is_not_judged_again(desk):
    from flows.retrain import undecided

    register(desk, champion="2", challenger="2")
    assert not undecided()


def test_pages():
    from flows.evaluate import exam_page, robustness_page

    group = "robustness/image/answer/image+text"
    clean = {f"{group}/clean": 0.9, f"{group}/corrupted": 0.45, f"{group}/relative": 0.5}
    exams = {"champion": {**FIGURES, **clean}, "challenger": {"size_bytes": 14}}
    assert exam_page(exams).splitlines() == [
        "| figure | champion | challenger |",
        "| --- | --- | --- |",
        "| metrics/accuracy/answer/image+text | 0.5 | – |",
        "| size_bytes | 12 | 14 |",
    ]
    assert robustness_page(exams).splitlines()[2:] == [
        "| image/answer/image+text | 0.9 | 0.45 | 0.5 | – | – | – |"
    ]
