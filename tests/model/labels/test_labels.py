"""What is read from a source's cells, what is learnt of it, and which labels cannot be used."""

import math
import statistics
from typing import get_args

import pyarrow as pa
import pytest

from components.common.errors import InputError, Problem
from components.tasks.generation.labels import END
from components.tasks.label_kinds import LABELS
from components.tasks.settings import TaskKind, TaskSettings
from tests.shrunk import run_python


def task(kind: str, answers: int | None = None) -> TaskSettings:
    if kind == "retrieval":
        return TaskSettings(kind=kind, column="c", query="text", target="image", weight=1.0)
    if kind == "generation":
        how = {"vocabulary": 270, "max_tokens": 6, "decoding": "beam/2"}
        return TaskSettings(kind=kind, column="c", decided_by=(), weight=1.0, **how)
    return TaskSettings(kind=kind, column="c", decided_by=(), weight=1.0, answers=answers)


def learn(kind: str, labels: list, answers: int | None = None) -> dict:
    learner = LABELS[kind].Learner("t", task(kind, answers))
    for label in labels:
        learner.add(label)
    return learner.finish()


def test_every_kind_that_params_yaml_may_name_is_there():
    assert set(LABELS) == set(get_args(TaskKind))


@pytest.mark.parametrize(
    ("kind", "value", "label"),
    [
        ("classification", "yes", "yes"),
        ("classification", " cafe\u0301 ", "café"),
        ("classification", "东京", "东京"),
        ("classification", 3, "3"),
        ("classification", 3.0, "3"),
        ("classification", 2.5, "2.5"),
        ("classification", True, "true"),
        ("classification", "  ", None),
        ("multilabel", ("dog", "cat", "dog"), ("dog", "cat")),
        ("multilabel", "dog | cat", ("dog", "cat")),
        ("multilabel", "traffic light", ("traffic light",)),
        ("multilabel", '["a|b", 2]', ("a|b", "2")),
        ("multilabel", "[]", ()),
        ("multilabel", (), ()),
        ("multilabel", 7, ("7",)),
        ("multilabel", "", None),
        ("regression", "3.5", 3.5),
        ("regression", " -1e3\n", -1000.0),
        ("regression", 7, 7.0),
        ("regression", "", None),
        ("vqa", ("yes", "no", "yes"), ("yes", "no", "yes")),
        ("vqa", '["1,000", "a cat"]', ("1,000", "a cat")),
        ("vqa", "red", ("red",)),
        ("vqa", (), None),
        ("vqa", "[]", None),
        ("generation", " a\n dog ", ("a dog",)),
        ("generation", "cafe\u0301 | tea", ("café | tea",)),
        ("generation", ("a dog", "", "two dogs"), ("a dog", "two dogs")),
        ("generation", '["a dog", "two"]', ("a dog", "two")),
        ("generation", "[laughs] no", ("[laughs] no",)),
        ("generation", "[1, 2]", ("[1, 2]",)),
        ("generation", 3.0, ("3",)),
        ("generation", True, ("true",)),
        ("generation", " ", None),
        ("generation", ("", " "), None),
        ("retrieval", " 东京\n", "东京"),
        ("retrieval", 12.0, "12"),
        ("retrieval", "", None),
        *((kind, None, None) for kind in LABELS),
    ],
)
def test_a_cell_becomes_a_label_of_the_column_s_type(kind, value, label):
    found = LABELS[kind].parse(value)
    assert found == label and type(found) is type(label)
    pa.array([found], LABELS[kind].TYPE)


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("classification", ("a", "b"), "label_malformed"),
        ("classification", math.nan, "label_not_finite"),
        ("multilabel", '["a", ', "label_malformed"),
        ("multilabel", "[[1]]", "label_malformed"),
        ("multilabel", (None,), "label_malformed"),
        ("vqa", ("yes", math.inf), "label_not_finite"),
        ("generation", math.inf, "label_not_finite"),
        ("generation", ("a", {"b": 1}), "label_malformed"),
        ("retrieval", ("a", "b"), "label_malformed"),
        ("retrieval", math.inf, "label_not_finite"),
        ("regression", "tall", "label_not_a_number"),
        ("regression", "1,5", "label_not_a_number"),
        ("regression", ("1",), "label_not_a_number"),
        ("regression", "nan", "label_not_finite"),
        ("regression", math.inf, "label_not_finite"),
        ("regression", 10**400, "label_not_a_number"),
    ],
)
def test_a_cell_that_is_no_label_is_a_problem(kind, value, reason):
    problem = LABELS[kind].parse(value)
    assert isinstance(problem, Problem)
    assert problem.reason == reason
    assert "expected" in problem.detail or "JSON" in problem.detail


def test_classes_are_what_occurs_sorted():
    assert learn("classification", ["b", "a", "b"]) == {"classes": ["a", "b"]}
    assert learn("multilabel", [("c", "a"), (), ("b",)]) == {"classes": ["a", "b", "c"]}


def test_that_values_differ_is_all_that_retrieval_needs():
    assert learn("retrieval", ["a", "b", "a"]) == learn("retrieval", ["a", "a", "b"]) == {}


def test_answers_are_the_most_frequent_ones_spelt_alike():
    labels = [("Yes.", "yes", "two"), ("2", "no", "the"), ("blue",)]
    assert learn("vqa", labels, answers=3) == {"classes": ["2", "yes", "blue"]}
    assert learn("vqa", labels, answers=100) == {"classes": ["2", "yes", "blue", "no"]}


def test_a_number_s_mean_and_deviation_are_learnt_in_one_pass():
    numbers = [1e9 + n / 7 for n in range(500)]
    found = learn("regression", numbers)
    assert found["mean"] == pytest.approx(statistics.fmean(numbers), rel=1e-12)
    assert found["deviation"] == pytest.approx(statistics.pstdev(numbers), rel=1e-6)


def test_tokens_are_learnt_of_all_right_texts_and_give_any_text_back():
    learnt = learn("generation", [("a dog runs", "two dogs"), ("東京 a dog",)] * 3)
    assert learnt | {"merges": []} == {"merges": [], "max_tokens": 6, "decoding": "beam/2"}
    assert len(learnt["merges"]) == 270 - 257 and "Ġdo g" in learnt["merges"]
    assert learnt == learn("generation", [("東京 a dog",), ("two dogs", "a dog runs")] * 3)
    tokenizer = LABELS["generation"](**learnt).tokenizer
    for text in ("a dog", "naïve 第9号 😀", "<end> isn't", "x\u200dy"):
        tokens = tokenizer.encode(text).ids
        assert END not in tokens and max(tokens) < tokenizer.get_vocab_size() <= 270
        assert tokenizer.decode(tokens) == f" {text}"


@pytest.mark.parametrize(
    ("kind", "labels", "found"),
    [
        ("classification", [], "0 classes"),
        ("classification", ["a", "a"], "1 classes"),
        ("multilabel", [(), ("a",)], "1 classes"),
        ("vqa", [("yes", "the Yes"), ("a",)], "1 different answers"),
        ("regression", [], "nothing"),
        ("regression", [3.0, 3.0], "2 numbers, all equal to 3"),
        ("regression", [1e308, -1e308], "numbers whose squares are too large"),
        ("generation", [], "nothing"),
        ("generation", [("a dog",), ("a dog",)], "one text, 'a dog',"),
        ("retrieval", [], "nothing"),
        ("retrieval", ["a", "a"], "one value, 'a',"),
    ],
)
def test_labels_that_teach_nothing_are_the_user_s_mistake(kind, labels, found):
    with pytest.raises(InputError, match=rf"tasks\.t: column 'c' holds {found}.*training split"):
        learn(kind, labels, answers=5 if kind == "vqa" else None)


@pytest.mark.parametrize(
    ("kind", "vocabulary", "good", "bad"),
    [
        ("classification", {"classes": ["a", "b"]}, "a", "c"),
        ("multilabel", {"classes": ["a", "b"]}, ("b", "a"), ("a", "c")),
        ("multilabel", {"classes": ["a", "b"]}, (), ("c", "d")),
    ],
)
def test_a_class_that_training_never_had_is_a_problem(kind, vocabulary, good, bad):
    labels = LABELS[kind](**vocabulary)
    assert labels.problem(good) is None
    problem = labels.problem(bad)
    assert problem.reason == "label_unknown"
    assert "'c'" in problem.detail and "'a'" not in problem.detail


def test_rare_answers_far_numbers_new_texts_and_new_values_to_share_are_no_problem():
    assert LABELS["retrieval"]().problem("new") is None
    assert LABELS["vqa"](["yes", "no"]).problem(("maybe",)) is None
    assert LABELS["generation"]([], 6, "greedy").problem(("never seen",)) is None
    assert LABELS["regression"](0.0, 1.0).problem(1e6) is None


def test_labels_are_known_without_torch(tmp_path):
    """Else the stage that reads them would take seconds to start."""
    process = run_python(
        "-c",
        "import sys, components.tasks.label_kinds; sys.exit('torch' in sys.modules)",
        cwd=tmp_path,
    )
    assert process.returncode == 0, process.stderr
