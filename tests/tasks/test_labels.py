"""Labels of every kind: parsed from cells, learnt into a vocabulary, refused where unusable."""

import math
import statistics

import pyarrow as pa
import pytest

from components.common.errors import InputError, Problem
from components.tasks.generation.labels import END
from components.tasks.registry import KINDS, labels_of, settings_of
from tests.support.process import modules_loaded

OPTIONS = {
    "retrieval": {"query": "text", "target": "image"},
    "generation": {"vocab_size": 270, "max_tokens": 6, "decoding": "beam/2"},
}


def learn(kind: str, labels: list, **options) -> dict:
    """Return the vocabulary that a task of a kind learns from labels."""
    settings = settings_of(kind)(column="c", **OPTIONS.get(kind, {}), **options)
    encoder = labels_of(kind).Encoder("t", settings)
    for label in labels:
        encoder.add(label)
    return dict(encoder.finish())


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
        ("classification", "3.0", "3"),  # as in text files
        ("classification", "-0.00", "0"),
        ("classification", "01", "01"),
        ("classification", "1.10", "1.10"),
        ("classification", "v1.0", "v1.0"),
        ("retrieval", "12345678901234567890.0", "12345678901234567890"),
        ("multilabel", "1.0|2", ("1", "2")),
        ("generation", "3.0", ("3.0",)),
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
        ("multilabel", "['red', 'dark blue']", ("red", "dark blue")),
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
        *((kind, None, None) for kind in KINDS),
    ],
)
def test_cell_is_parsed_to_the_type_of_the_column(kind, value, label):
    found = labels_of(kind).parse(value)
    assert found == label and type(found) is type(label)
    pa.array([found], labels_of(kind).TYPE)


@pytest.mark.parametrize("kind", ["multilabel", "vqa"])
@pytest.mark.parametrize(
    ("separator", "cell"),
    [(",", "cat, dog"), (";", "cat;dog"), (" ", "cat  dog"), ("|", "cat|dog")],
)
def test_separator_is_a_setting(kind, separator, cell):
    parse = labels_of(kind).parser(settings_of(kind)(column="c", separator=separator))
    assert parse(cell) == ("cat", "dog")
    assert parse('["cat", "dog"]') == ("cat", "dog")


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("classification", ("a", "b"), "label_malformed"),
        ("classification", math.nan, "label_not_finite"),
        ("multilabel", '["a", ', "label_malformed"),
        ("multilabel", "[[1]]", "label_malformed"),
        ("multilabel", (None,), "label_malformed"),
        ("multilabel", "['a' 'b']", "label_malformed"),
        ("multilabel", """['a', "it's"]""", "label_malformed"),
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
def test_malformed_cell_is_a_problem(kind, value, reason):
    problem = labels_of(kind).parse(value)
    assert isinstance(problem, Problem)
    assert problem.reason == reason
    assert "expected" in problem.detail or "JSON" in problem.detail


@pytest.mark.parametrize(
    ("cell", "way_out"),
    [
        ("1,5", 'set ingest.source.decimal: ","'),
        ("$5", "without units"),
        ("1,500", "marks between thousands"),
        ("NA", "leave the cell empty"),
        ("9" * 99 + "x", "without units"),
    ],
)
def test_what_is_no_number_names_the_way_out(cell, way_out):
    problem = labels_of("regression").parse(cell)
    assert way_out in problem.detail and len(problem.detail) < 200


def test_classes_are_sorted():
    assert learn("classification", ["b", "a", "b"]) == {"classes": ["a", "b"]}
    assert learn("multilabel", [("c", "a"), (), ("b",)]) == {"classes": ["a", "b", "c"]}


def test_retrieval_learns_no_vocabulary():
    assert learn("retrieval", ["a", "b", "a"]) == learn("retrieval", ["a", "a", "b"]) == {}


def test_answers_are_the_most_frequent_normalised_ones():
    labels = [("Yes.", "yes", "two"), ("2", "no", "the"), ("blue",)]
    assert learn("vqa", labels, answers=3) == {"classes": ["2", "yes", "blue"]}
    assert learn("vqa", labels, answers=100) == {"classes": ["2", "yes", "blue", "no"]}


def test_mean_and_deviation_are_learnt_in_one_pass():
    numbers = [1e9 + n / 7 for n in range(500)]
    found = learn("regression", numbers)
    assert found["mean"] == pytest.approx(statistics.fmean(numbers), rel=1e-12)
    assert found["deviation"] == pytest.approx(statistics.pstdev(numbers), rel=1e-6)


def test_tokens_of_texts_encode_any_text():
    learnt = learn("generation", [("a dog runs", "two dogs"), ("東京 a dog",)] * 3)
    assert learnt | {"merges": []} == {"merges": [], "max_tokens": 6, "decoding": "beam/2"}
    assert len(learnt["merges"]) == 270 - 257 and "Ġdo g" in learnt["merges"]
    assert learnt == learn("generation", [("東京 a dog",), ("two dogs", "a dog runs")] * 3)
    tokenizer = labels_of("generation")(**learnt).tokenizer
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
def test_labels_that_teach_nothing_are_refused(kind, labels, found):
    with pytest.raises(InputError, match=rf"tasks\.t: column 'c' holds {found}.*training split"):
        learn(kind, labels)


@pytest.mark.parametrize(
    ("kind", "vocabulary", "good", "bad"),
    [
        ("classification", {"classes": ["a", "b"]}, "a", "c"),
        ("multilabel", {"classes": ["a", "b"]}, ("b", "a"), ("a", "c")),
        ("multilabel", {"classes": ["a", "b"]}, (), ("c", "d")),
    ],
)
def test_class_unknown_to_training_is_a_problem(kind, vocabulary, good, bad):
    labels = labels_of(kind)(**vocabulary)
    assert labels.problem(good) is None
    problem = labels.problem(bad)
    assert problem.reason == "label_unknown"
    assert "'c'" in problem.detail and "'a'" not in problem.detail


def test_rare_labels_of_other_kinds_are_no_problem():
    assert labels_of("retrieval")().problem("new") is None
    assert labels_of("vqa")(["yes", "no"]).problem(("maybe",)) is None
    assert labels_of("generation")([], 6, "greedy").problem(("never seen",)) is None
    assert labels_of("regression")(0.0, 1.0).problem(1e6) is None


def test_labels_need_no_torch(tmp_path):
    """Else the stage that reads them would take seconds to start."""
    loaded = modules_loaded(
        "from components.tasks.registry import KINDS, labels_of",
        "list(map(labels_of, KINDS))",
        cwd=tmp_path,
    )
    assert "components.tasks.regression.labels" in loaded and "torch" not in loaded
