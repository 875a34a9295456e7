"""Targets, losses and answers of every kind, against values computed by hand."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch.nn import functional as F

from components.tasks.generation.decoder import Draft
from components.tasks.generation.labels import END
from components.tasks.label_kinds import LABELS
from components.tasks.labels import PredictedLabels
from components.tasks.settings import TaskSettings
from components.tasks.task_kinds import KINDS, with_heads
from components.training.determinism import make_deterministic
from tests.shrunk import small_settings

CLASSES = ["a", "b", "c"]
KINDS_OF = {
    "classification": KINDS["classification"](CLASSES),
    "multilabel": KINDS["multilabel"](CLASSES),
    "regression": KINDS["regression"](mean=10.0, deviation=4.0),
    "vqa": KINDS["vqa"](["yes", "no", "2"]),
    "generation": KINDS["generation"](["Ġ a"], max_tokens=3, decoding="greedy"),
}
LABELS_OF = {  # as Parquet gives them, with one that is null
    "classification": pd.Series(["b", None, "a"], dtype="str"),
    "multilabel": pd.Series([np.array(["c", "a"], dtype=object), None, np.array([])]),
    "regression": pd.Series([12.0, np.nan, 4.0]),
    "vqa": pd.Series([np.array(["Two", "two", "2.", "yes", "rare"], dtype=object), None, ["rare"]]),
    "generation": pd.Series([np.array(["a", "abcde"], dtype=object), None, ["a a"]]),
}
LOGITS = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, 0.0], [-0.5, 0.25, 0.0]])


MEMORY = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0))  # two tokens a sample


def case(name: str):
    kind = KINDS_OF[name]
    logits = draft(MEMORY) if kind.WRITES else LOGITS[:, : kind.outputs]
    return kind, kind.targets(LABELS_OF[name]), logits


def draft(tokens: torch.Tensor) -> Draft:
    """What the head of the kind `generation` gives."""
    torch.manual_seed(0)
    options = small_settings().model
    writer = KINDS_OF["generation"].head(options).eval()
    return writer(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))


def test_each_kind_of_label_that_is_predicted_has_its_head():
    assert set(KINDS) == {name for name in LABELS if issubclass(LABELS[name], PredictedLabels)}
    assert all(issubclass(KINDS[name], LABELS[name]) for name in KINDS)


def test_retrieval_has_no_head():
    search = TaskSettings(kind="retrieval", column="c", query="text", target="image", weight=1.0)
    word = TaskSettings(column="c", decided_by=(), weight=1.0)
    assert with_heads({"a": word, "find": search, "b": word}) == {"a": word, "b": word}


def test_targets():
    assert case("classification")[1].tolist() == [1, -1, 0]
    multilabel = case("multilabel")[1]
    assert multilabel[[0, 2]].tolist() == [[1, 0, 1], [0, 0, 0]] and multilabel[1].isnan().all()
    regression = case("regression")[1]
    assert regression[[0, 2]].tolist() == [0.5, -1.5] and regression[1].isnan()
    vqa = case("vqa")[1]
    assert vqa[0].tolist() == [[2, 1], [0, pytest.approx(1 / 3)]] and vqa[1].isnan().all()
    assert (vqa[2, :, 1] == 0).all()  # rare answers have no score, and are no unknown target
    b, c = (1 + sorted(ByteLevel.alphabet()).index(letter) for letter in "bc")
    assert case("generation")[1].tolist() == [
        [[257, END, -1], [257, b, c]],  # "Ġ a" is one token; what is longer is cut
        [[-1, -1, -1], [-1, -1, -1]],
        [[257, 257, END], [-1, -1, -1]],
    ]


@pytest.mark.parametrize("name", KINDS)
def test_known_targets_are_those_of_labels_that_are_there(name):
    kind, targets, _ = case(name)
    assert kind.known(targets).tolist() == [True, False, True]
    hidden = kind.hide(targets, torch.tensor([True, False, False]))
    assert kind.known(hidden).tolist() == [False, False, True]
    assert hidden[2].equal(targets[2])
    nothing = kind.targets(LABELS_OF[name][:0])
    assert kind.known(nothing).tolist() == []
    assert kind.known(kind.targets(LABELS_OF[name][1:2])).tolist() == [False]


def binary_cross_entropy(logit: float, target: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -target * math.log(p) - (1 - target) * math.log(1 - p)


def by_hand(rows: list, scores: list[list[float]]) -> float:
    """Mean over rows of the sum over classes."""
    pairs = [zip(row, score, strict=True) for row, score in zip(rows, scores, strict=True)]
    return sum(binary_cross_entropy(x, t) for row in pairs for x, t in row) / len(rows)


def test_losses_are_means_over_the_known():
    logits = LOGITS[[0, 2]].double().tolist()
    shares = [[math.exp(x) / sum(map(math.exp, row)) for x in row] for row in logits]
    expected = {
        "classification": -(math.log(shares[0][1]) + math.log(shares[1][0])) / 2,
        "multilabel": by_hand(logits, [[1, 0, 1], [0, 0, 0]]),
        "regression": ((0.5 - 0.5) ** 2 + (-0.5 + 1.5) ** 2) / 2,
        "vqa": by_hand(logits, [[1 / 3, 0, 1], [0, 0, 0]]),
    }
    for name, value in expected.items():
        kind, targets, logits = case(name)
        assert kind.loss(logits, targets).item() == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classification_is_torch_s_cross_entropy_to_the_last_bit(smoothing):
    kind, targets, logits = case("classification")
    expected = F.cross_entropy(logits, targets, ignore_index=-1, label_smoothing=smoothing)
    assert kind.loss(logits, targets, smoothing).equal(expected)


@pytest.mark.parametrize("name", KINDS)
def test_unknown_labels_teach_nothing(name):
    kind, targets, logits = case(name)
    make_deterministic(0, torch.get_num_threads())
    try:
        for gone in (torch.tensor([False, True, False]), torch.ones(3, dtype=torch.bool)):
            read = (MEMORY if kind.WRITES else logits).clone().requires_grad_()
            loss = kind.loss(draft(read) if kind.WRITES else read, kind.hide(targets, gone))
            loss.backward()
            assert read.grad.isfinite().all()
            assert (read.grad[gone] == 0).all()
        assert loss.item() == 0
    finally:
        torch.set_deterministic_debug_mode("default")


def test_quality_of_known_targets():
    known = torch.tensor([0, 2])
    expected = {"classification": 0.0, "multilabel": 2 * 2 / 5, "regression": 0.5, "vqa": 0.5}
    for name, value in expected.items():
        kind, targets, logits = case(name)
        assert kind.quality(logits[known], targets[known]) == pytest.approx(value), name


def test_answers_are_what_a_person_reads():
    found = {name: case(name)[0].predict(case(name)[2]) for name in KINDS}
    assert found["classification"].values == ["c", "a", "b"]
    assert found["classification"].confidence[0] == pytest.approx(
        math.exp(2) / (math.exp(2) + math.exp(0.5) + math.exp(-1))
    )
    assert found["multilabel"].values == [["c", "a"], ["a"], ["b"]]  # the probability 0.5 is not
    assert found["multilabel"].confidence[0] == pytest.approx(
        [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-0.5))]
    )
    assert found["regression"].values == [12.0, 14.0, 8.0]
    assert found["regression"].confidence is None
    assert found["vqa"].values == ["2", "yes", "no"]
    assert found["vqa"].confidence[2] == pytest.approx(1 / (1 + math.exp(-0.25)))
    for name, answers in found.items():
        one = KINDS[name].ANSWER
        assert isinstance(answers.values[0], list if one not in (str, float) else one)


def test_what_is_recorded_holds_all_that_the_metrics_need():
    for name in KINDS:
        kind, _, logits = case(name)
        recorded = kind.record(logits[[0, 2]])
        labels = LABELS_OF[name][[0, 2]]
        targets = [kind.written(label) for label in labels]
        table = pd.DataFrame({"target": targets, "prediction": recorded.values})
        assert all(isinstance(value, str) for value in recorded.values)
        assert all(0 <= value < math.inf for value in kind.metrics(table).values()), name
    assert KINDS_OF["vqa"].record(LOGITS).values == ["2", "yes", "no"]
    recorded = KINDS_OF["multilabel"].record(LOGITS).values[0]
    assert json.loads(recorded) == pytest.approx(LOGITS[0].sigmoid().tolist(), rel=1e-5)


VOTES = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])


OF_LOGITS = [name for name in KINDS if not KINDS[name].WRITES]  # the others: test_generation


@pytest.mark.parametrize("name", OF_LOGITS)
def test_an_average_is_that_of_probabilities_or_numbers(name):
    """The mean over those that count; what the others say changes no bit."""
    kind = KINDS_OF[name]
    logits = 3 * torch.randn(3, 3, kind.outputs, generator=torch.Generator().manual_seed(0))
    read = {
        "classification": lambda x: x.softmax(-1),
        "multilabel": torch.sigmoid,
        "regression": lambda x: x,
        "vqa": torch.sigmoid,
    }[name]
    found = kind.average(logits, VOTES)
    for said, votes, average in zip(logits, VOTES, found, strict=True):
        torch.testing.assert_close(read(average), read(said[votes]).mean(0))
    other = torch.where(VOTES[..., None], logits, 77.0)
    assert kind.average(other, VOTES).equal(found)


@pytest.mark.parametrize("name", OF_LOGITS)
def test_the_average_of_sure_answers_is_finite_and_so_is_its_gradient(name):
    kind = KINDS_OF[name]
    logits = torch.tensor([200.0, -200.0, 0.0])[:, None].repeat(3, 1, kind.outputs)
    logits = (logits * torch.linspace(-1, 1, kind.outputs)).requires_grad_()
    found = kind.average(logits, VOTES)
    found.square().sum().backward()
    assert found.isfinite().all() and logits.grad.isfinite().all()
    assert (logits.grad[~VOTES] == 0).all()
