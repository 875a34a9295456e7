"""An ensemble gives the mean of its members' answers, and is used like any model."""

import pandas as pd
import pytest
import torch

from components.common.errors import InputError
from components.model.ensemble import Ensemble, ensemble_of
from components.model.folder import load_model, save_model
from components.model.predictor import Predictor
from tests.support.tiny_model import (
    EVERY_TASK,
    EVERY_VOCABULARY,
    PRESENT,
    QUESTION,
    build_model,
    make_inputs,
    make_model,
    make_processors,
)

LEARNT = {name: task for name, task in EVERY_TASK.items() if name != "caption"}
VOCABULARY = {name: EVERY_VOCABULARY[name] for name in LEARNT}
OTHER = {  # the same labels as another part of the data teaches them
    **VOCABULARY,
    "answer": {"classes": ["c", "a", "b"]},
    "size": {"mean": 12.0, "deviation": 3.0},
}
FEWER = {**VOCABULARY, "answer": {"classes": ["a", "b"]}}
ROWS = {m: torch.tensor([0, 1, -1, 2] if m == "image" else [0, 1, 2, 3]) for m in PRESENT}


@pytest.fixture(scope="module")
def members():
    return [build_model(LEARNT, VOCABULARY), build_model(LEARNT, OTHER, seed=1)]


def named(models) -> dict:
    return {f"fold {number}": model for number, model in enumerate(models, start=1)}


def answers(model) -> dict:
    return model(model.encode(make_inputs(4)), ROWS)


def heard(model) -> dict:
    """Return the answers to sounds alone."""
    rows = {m: torch.arange(4) if m == "audio" else torch.full((4,), -1) for m in PRESENT}
    return model(model.encode({"audio": make_inputs(4)["audio"]}), rows)


@torch.no_grad()
def test_answers_are_means(members):
    ensemble = ensemble_of(named(members))
    found, given = answers(ensemble), [answers(member) for member in members]
    places = torch.tensor([OTHER["answer"]["classes"].index(c) for c in ("a", "b", "c")])
    classes = given[0]["answer"].softmax(1), given[1]["answer"].softmax(1)[:, places]
    torch.testing.assert_close(found["answer"].softmax(1), sum(classes) / 2)
    for task in ("tags", "reply"):
        torch.testing.assert_close(
            found[task].sigmoid(), (given[0][task].sigmoid() + given[1][task].sigmoid()) / 2
        )
    sizes = [
        torch.tensor(m.tasks["size"].predict(g["size"]).values)
        for m, g in zip(members, given, strict=True)
    ]
    mean = torch.tensor(ensemble.tasks["size"].predict(found["size"]).values)
    torch.testing.assert_close(mean, sum(sizes) / 2)


@torch.no_grad()
@pytest.mark.parametrize("vocabulary", [VOCABULARY, OTHER], ids=["same labels", "other labels"])
def test_members_keep_the_heads_of_their_encoders(vocabulary, tmp_path):
    experts = {
        "text": {"pooled": ("answer", "size")},
        "image": {"pooled": ("size", "tags"), "plain": ("answer",)},
    }
    members = [
        build_model(LEARNT, labels, seed, experts=experts, **{"features.image.plain": True})
        for seed, labels in enumerate((VOCABULARY, vocabulary))
    ]
    for member in members:
        member.experts.gain.fill_(0.5)
    save_model(tmp_path, ensemble_of(named(members)), make_processors())
    ensemble = load_model(tmp_path)
    places = torch.tensor([vocabulary["answer"]["classes"].index(c) for c in ("a", "b", "c")])
    for asked in (answers, heard):
        found, given = asked(ensemble), [asked(member) for member in members]
        classes = given[0]["answer"].softmax(1), given[1]["answer"].softmax(1)[:, places]
        torch.testing.assert_close(found["answer"].softmax(1), sum(classes) / 2)
        pairs = zip([ensemble, *members], [found, *given], strict=True)
        sizes = [torch.tensor(m.tasks["size"].predict(said["size"]).values) for m, said in pairs]
        torch.testing.assert_close(sizes[0], sum(sizes[1:]) / 2, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_equal_members_answer_as_one(members):
    found, alone = answers(ensemble_of(named([members[0]] * 3))), answers(members[0])
    for task, logits in alone.items():
        probabilities = [members[0].tasks[task].predict(x).values for x in (found[task], logits)]
        if task == "size":
            assert probabilities[0] == pytest.approx(probabilities[1])
        else:
            assert probabilities[0] == probabilities[1]


def test_loaded_equals_saved(members, tmp_path):
    ensemble = ensemble_of(named(members))
    save_model(tmp_path, ensemble, make_processors())
    loaded = load_model(tmp_path)
    assert isinstance(loaded, Ensemble) and not loaded.training
    assert loaded.config == ensemble.config and loaded.config.members == 2
    with torch.no_grad():
        expected, found = answers(ensemble), answers(loaded)
    assert all(found[task].equal(expected[task]) for task in expected)


def test_predictor_takes_it_like_any_model(members, tmp_path):
    save_model(tmp_path, ensemble_of(named(members)), make_processors())
    found = Predictor(tmp_path)(pd.DataFrame([{"text": QUESTION}]))
    assert found["answer"][0] in VOCABULARY["answer"]["classes"]


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (build_model(LEARNT, FEWER), "labels of the task answer"),
        (build_model(LEARNT, VOCABULARY, **{"features.image.width": 12}), "in encoders"),
        (make_model(), "labels of the task"),
        (build_model(LEARNT, VOCABULARY, experts={"text": {"pooled": ("answer",)}}), "in experts"),
    ],
)
def test_other_models_are_refused(members, other, problem):
    with pytest.raises(InputError, match=problem):
        ensemble_of(named([members[0], other]))


def test_texts_have_no_mean():
    models = [make_model(every=True), make_model(every=True, seed=1)]
    with pytest.raises(InputError, match="the task caption writes texts"):
        ensemble_of(named(models))
