"""Targets, losses and predictions of every kind, against values computed by hand."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch.nn import functional as F

from components.layers.transformer_shape import TransformerShape
from components.tasks.generation.decoder import DecoderInput
from components.tasks.generation.labels import END
from components.tasks.registry import head_of, metrics_of
from components.training.determinism import make_deterministic

CLASSES = ["a", "b", "c"]
TASKS = {
    "classification": head_of("classification")(CLASSES),
    "multilabel": head_of("multilabel")(CLASSES),
    "regression": head_of("regression")(mean=10.0, deviation=4.0),
    "vqa": head_of("vqa")(["yes", "no", "2"]),
    "generation": head_of("generation")(["Ġ a"], max_tokens=3, decoding="greedy"),
}
LABELS = {  # as Parquet gives them, with one that is null
    "classification": pd.Series(["b", None, "a"], dtype="str"),
    "multilabel": pd.Series([np.array(["c", "a"], dtype=object), None, np.array([])]),
    "regression": pd.Series([12.0, np.nan, 4.0]),
    "vqa": pd.Series([np.array(["Two", "two", "2.", "yes", "rare"], dtype=object), None, ["rare"]]),
    "generation": pd.Series([np.array(["a", "abcde"], dtype=object), None, ["a a"]]),
}
LOGITS = torch.tensor([[0.5, -1.0, 2.0], [1.0, 0.0, 0.0], [-0.5, 0.25, 0.0]])
TOKENS = torch.randn(3, 2, 8, generator=torch.Generator().manual_seed(0))  # two per sample
VOTES = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])

EVERY = pytest.mark.parametrize("name", TASKS)
OF_LOGITS = pytest.mark.parametrize(  # the others: tests/tasks/generation
    "name", [name for name, task in TASKS.items() if not task.IS_GENERATIVE]
)


def case(name: str):
    """Return a task, the targets of its labels, and logits."""
    task = TASKS[name]
    logits = decoder_input(TOKENS) if task.IS_GENERATIVE else LOGITS[:, : task.outputs]
    return task, task.targets(LABELS[name]), logits


def decoder_input(tokens: torch.Tensor) -> DecoderInput:
    """Return the output of the head of generation."""
    torch.manual_seed(0)
    decoder = TASKS["generation"].head(TransformerShape(8, layers=1, heads=2)).eval()
    return decoder(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool))


def test_targets():
    assert case("classification")[1].tolist() == [1, -1, 0]
    unseen = pd.Series(["b", "never seen"], dtype="str")
    assert TASKS["classification"].targets(unseen).tolist() == [1, -1]
    multilabel = case("multilabel")[1]
    assert multilabel[[0, 2]].tolist() == [[1, 0, 1], [0, 0, 0]] and multilabel[1].isnan().all()
    regression = case("regression")[1]
    assert regression[[0, 2]].tolist() == [0.5, -1.5] and regression[1].isnan()
    vqa = case("vqa")[1]
    assert vqa[0].tolist() == [[2, 1], [0, pytest.approx(1 / 3)]] and vqa[1].isnan().all()
    assert (vqa[2, :, 1] == 0).all()  # rare answers score 0; the target is known
    b, c = (1 + sorted(ByteLevel.alphabet()).index(letter) for letter in "bc")
    assert case("generation")[1].tolist() == [
        [[257, END, -1], [257, b, c]],  # "Ġ a" is one token; longer texts are cut
        [[-1, -1, -1], [-1, -1, -1]],
        [[257, 257, END], [-1, -1, -1]],
    ]


@EVERY
def test_known_targets_are_those_with_a_label(name):
    task, targets, _ = case(name)
    assert task.known(targets).tolist() == [True, False, True]
    hidden = task.hide(targets, torch.tensor([True, False, False]))
    assert task.known(hidden).tolist() == [False, False, True]
    assert hidden[2].equal(targets[2])
    assert task.known(task.targets(LABELS[name][:0])).tolist() == []
    assert task.known(task.targets(LABELS[name][1:2])).tolist() == [False]


def binary_cross_entropy(logit: float, target: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -target * math.log(p) - (1 - target) * math.log(1 - p)


def mean_cross_entropy(logits: list, scores: list[list[float]]) -> float:
    """Return the mean over rows of the sum over classes."""
    pairs = [zip(row, score, strict=True) for row, score in zip(logits, scores, strict=True)]
    return sum(binary_cross_entropy(x, t) for row in pairs for x, t in row) / len(logits)


def test_losses_are_means_over_known_targets():
    logits = LOGITS[[0, 2]].double().tolist()
    softmax = [[math.exp(x) / sum(map(math.exp, row)) for x in row] for row in logits]
    expected = {
        "classification": -(math.log(softmax[0][1]) + math.log(softmax[1][0])) / 2,
        "multilabel": mean_cross_entropy(logits, [[1, 0, 1], [0, 0, 0]]),
        "regression": ((0.5 - 0.5) ** 2 + (-0.5 + 1.5) ** 2) / 2,
        "vqa": mean_cross_entropy(logits, [[1 / 3, 0, 1], [0, 0, 0]]),
    }
    for name, value in expected.items():
        task, targets, logits = case(name)
        assert task.loss(logits, targets).item() == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classification_loss_equals_torch(smoothing):
    task, targets, logits = case("classification")
    expected = F.cross_entropy(logits, targets, ignore_index=-1, label_smoothing=smoothing)
    assert task.loss(logits, targets, smoothing).equal(expected)


@pytest.fixture
def deterministic():
    """Raise in operations that are not deterministic."""
    make_deterministic(0, torch.get_num_threads())
    yield
    torch.set_deterministic_debug_mode("default")


@EVERY
def test_unknown_labels_have_no_gradient(deterministic, name):
    task, targets, logits = case(name)
    for hidden in (torch.tensor([False, True, False]), torch.ones(3, dtype=torch.bool)):
        leaf = (TOKENS if task.IS_GENERATIVE else logits).clone().requires_grad_()
        output = decoder_input(leaf) if task.IS_GENERATIVE else leaf
        loss = task.loss(output, task.hide(targets, hidden))
        loss.backward()
        assert leaf.grad.isfinite().all()
        assert (leaf.grad[hidden] == 0).all()
    assert loss.item() == 0


def test_validation_metrics():
    known = torch.tensor([0, 2])
    expected = {"classification": 0.0, "multilabel": 2 * 2 / 5, "regression": 0.5, "vqa": 0.5}
    for name, value in expected.items():
        task, targets, logits = case(name)
        assert task.validate(logits[known], targets[known]) == pytest.approx(value), name
    assert {name: task.VALIDATION.name for name, task in TASKS.items()} == {
        "classification": "accuracy",
        "multilabel": "f1",
        "regression": "absolute_error",
        "vqa": "soft_score",
        "generation": "token_accuracy",
    }
    assert not TASKS["regression"].VALIDATION.higher_is_better


def test_progress_is_the_fraction_of_the_way_to_the_goal():
    accuracy, error = TASKS["classification"].progress, TASKS["regression"].progress
    assert [accuracy(value, None) for value in (0.0, 0.25, 1.0)] == [0.0, 0.25, 1.0]
    assert [accuracy(value, 0.5) for value in (0.0, 0.25, 0.9)] == [0.0, 0.5, 1.0]
    assert [error(value, None) for value in (1.5, 1.0, 0.75, 0.0)] == [0.0, 0.0, 0.25, 1.0]
    assert [error(value, 0.5) for value in (1.0, 0.75, 0.5, 0.1)] == [0.0, 0.5, 1.0, 1.0]


def test_predictions_for_a_person():
    found = {name: case(name)[0].predict(case(name)[2]) for name in TASKS}
    assert found["classification"].values == ["c", "a", "b"]
    assert found["classification"].confidence[0] == pytest.approx(
        math.exp(2) / (math.exp(2) + math.exp(0.5) + math.exp(-1))
    )
    assert found["multilabel"].values == [["c", "a"], ["a"], ["b"]]  # not at a probability of 0.5
    assert found["multilabel"].confidence[0] == pytest.approx(
        [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-0.5))]
    )
    assert found["regression"].values == [12.0, 14.0, 8.0]
    assert found["regression"].confidence is None
    assert found["vqa"].values == ["2", "yes", "no"]
    assert found["vqa"].confidence[2] == pytest.approx(1 / (1 + math.exp(-0.25)))
    for name, predictions in found.items():
        kind = TASKS[name].VALUE
        assert isinstance(predictions.values[0], list if kind not in (str, float) else kind)


@EVERY
def test_records_suffice_for_metrics(name):
    task, _, logits = case(name)
    recorded = task.record(logits[torch.tensor([0, 2])])
    targets = [task.to_text(label) for label in LABELS[name][[0, 2]]]
    table = pd.DataFrame({"target": targets, "prediction": recorded.values})
    assert all(isinstance(value, str) for value in recorded.values)
    found = metrics_of(name)(task).compute(table)
    assert found and all(0 <= value < math.inf for value in found.values())


def test_records_of_probabilities():
    assert TASKS["vqa"].record(LOGITS).values == ["2", "yes", "no"]
    recorded = TASKS["multilabel"].record(LOGITS).values[0]
    assert json.loads(recorded) == pytest.approx(LOGITS[0].sigmoid().tolist(), rel=1e-5)


@OF_LOGITS
def test_average_is_that_of_probabilities_or_numbers(name):
    """The mean over the votes that count; the others change no bit."""
    task = TASKS[name]
    logits = 3 * torch.randn(3, 3, task.outputs, generator=torch.Generator().manual_seed(0))
    value = {
        "classification": lambda x: x.softmax(-1),
        "multilabel": torch.sigmoid,
        "regression": lambda x: x,
        "vqa": torch.sigmoid,
    }[name]
    found = task.average(logits, VOTES)
    for row, votes, average in zip(logits, VOTES, found, strict=True):
        torch.testing.assert_close(value(average), value(row[votes]).mean(0))
    other = torch.where(VOTES[..., None], logits, 77.0)
    assert task.average(other, VOTES).equal(found)


@OF_LOGITS
def test_average_of_extreme_logits_is_finite(name):
    task = TASKS[name]
    logits = torch.tensor([200.0, -200.0, 0.0])[:, None].repeat(3, 1, task.outputs)
    logits = (logits * torch.linspace(-1, 1, task.outputs)).requires_grad_()
    found = task.average(logits, VOTES)
    found.square().sum().backward()
    assert found.isfinite().all() and logits.grad.isfinite().all()
    assert (logits.grad[~VOTES] == 0).all()
