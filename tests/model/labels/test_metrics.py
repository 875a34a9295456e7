"""Metrics of a few predictions, against what can be counted by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from components.tasks.generation.text_metrics import bleu, words
from components.tasks.label_kinds import LABELS
from components.tasks.labels import written
from components.tasks.multilabel.labels import average_precision
from components.tasks.retrieval.labels import rank_metrics


def rows(targets: list, predictions: list) -> pd.DataFrame:
    spelt = [
        [value if isinstance(value, str) else json.dumps(value) for value in values]
        for values in (targets, predictions)
    ]
    index = range(5, 5 + len(targets))  # any index
    return pd.DataFrame(dict(zip(("target", "prediction"), spelt, strict=True)), index)


def test_classification():
    table = rows(["a", "b", "b", "a"], ["a", "b", "a", "a"])
    labels = LABELS["classification"](["a", "b"])
    assert labels.metrics(table) == {"accuracy": 0.75}
    assert labels.wrong(table).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("targets", "scores", "expected"),
    [
        ([1, 0, 0], [0.9, 0.5, 0.1], 1.0),
        ([0, 0, 1], [0.9, 0.5, 0.1], 1 / 3),
        ([1, 0, 1], [0.9, 0.5, 0.1], (1 + 2 / 3) / 2),
        ([1, 0], [0.5, 0.5], 1 / 2),  # no order among equals
        ([0, 1], [0.5, 0.5], 1 / 2),
        ([1, 1, 0, 1], [0.9, 0.5, 0.5, 0.1], (1 + 2 / 3 + 3 / 4) / 3),
    ],
)
def test_average_precision(targets, scores, expected):
    found = average_precision(np.array(targets, dtype=bool), np.array(scores))
    assert found == pytest.approx(expected)


def test_multilabel():
    labels = LABELS["multilabel"](["cat", "dog", "emu"])
    table = rows(
        [["cat"], ["dog", "cat"], [], ["dog"]],
        [[0.9, 0.1, 0.1], [0.6, 0.4, 0.7], [0.2, 0.3, 0.1], [0.1, 0.8, 0.2]],
    )
    # predicted: cat; cat, emu; none; dog: 3 of 4 predictions are right, of 4 labels 3 are found
    found = labels.metrics(table)
    assert list(found) == ["f1", "mean_average_precision"]
    assert found["f1"] == pytest.approx(2 * 3 / 8)
    assert labels.average_precisions(table) == {"cat": 1.0, "dog": 1.0}  # emu does not occur
    assert found["mean_average_precision"] == 1.0
    assert labels.wrong(table).tolist() == [False, True, False, False]
    assert [labels.shown(p) for p in table["prediction"]] == ["cat", "cat, emu", "none", "dog"]


def test_multilabel_where_nothing_is_there_and_nothing_is_said():
    table = rows([[], []], [[0.1, 0.2], [0.3, 0.4]])
    assert LABELS["multilabel"](["a", "b"]).metrics(table) == {"f1": 1.0}


def test_regression():
    labels = LABELS["regression"](0.0, 1.0)
    found = labels.metrics(rows([1.0, 2.0, 6.0], [2.0, 2.0, 3.0]))
    # errors 1, 0, 3; squares 10 of (4 + 1 + 9) around the mean 3
    assert found == pytest.approx({"mean_absolute_error": 4 / 3, "r2": 1 - 10 / 14})
    assert next(iter(found)) == "mean_absolute_error"
    assert labels.metrics(rows([2.0, 2.0], [1.0, 2.0])) == {"mean_absolute_error": 0.5}
    assert not labels.wrong(rows([1.0], [9.0])).any()


def test_vqa():
    labels = LABELS["vqa"](["yes", "no"])
    table = rows([["Yes"] * 10, ["no"] * 2 + ["dunno"] * 8, ["dunno"] * 10], ["yes", "no", "yes"])
    assert labels.metrics(table)["vqa_accuracy"] == pytest.approx((1 + 0.6 + 0) / 3)
    assert labels.wrong(table).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("kind", "label", "spelt"),
    [
        ("classification", "é", "é"),
        ("multilabel", np.array(["é", "b"], dtype=object), '["é", "b"]'),
        ("regression", np.float64(0.1) + 0.2, "0.30000000000000004"),
        ("vqa", ("a", "a"), '["a", "a"]'),
    ],
)
def test_a_label_in_one_string_loses_nothing(kind, label, spelt):
    assert LABELS[kind].written(label) == spelt


def test_shares_are_read_in_per_cent_and_other_metrics_are_not():
    assert written("accuracy", 0.12345) == "12.35%"
    assert written("mean_absolute_error", 12.34567) == "12.35"
    assert written("r2", -0.5) == "-0.5"


def test_ranks():
    assert rank_metrics([7]) == {
        "recall_at_1": 0.0, "recall_at_5": 0.0, "recall_at_10": 1.0, "median_rank": 7.0,
    }  # fmt: skip
    found = rank_metrics([1, 5, 6, 10, 11, 1])
    assert found["recall_at_1"] == pytest.approx(2 / 6)
    assert found["recall_at_5"] == pytest.approx(3 / 6)
    assert found["recall_at_10"] == pytest.approx(5 / 6)
    assert found["median_rank"] == 5.5
    assert written("median_rank", 5.5) == "5.5" and written("recall_at_5", 0.5) == "50.00%"


CAPTIONS = [  # what was said, and what would have been right
    (
        "train traveling down a track in front of a road",
        "A train traveling down tracks next to lights.",
        "A blue and silver train next to train station and trees.",
        "A blue train is next to a sidewalk on the rails.",
        "A passenger train pulls into a train station.",
        "A train coming down the tracks arriving at a station.",
    ),
    (
        "a man doesn't ride a wave on top of a surfboard",
        "A man riding a wave on a surfboard.",
        "The surfer isn't falling; he's riding a big wave!",
        "A surfer on a black-and-white board, in the ocean",
    ),
    (
        "a dog's ball",
        "The dog's ball lies on the grass.",
        "A red ball, a dog and 2 cats",
        "the dogs' red ball",
    ),
    (
        "two people at 3:30 with $5.50 of pizza & salad",
        "Two people sit at a table with pizza & salad.",
        "They've eaten 1,000 pizzas",
    ),
    ("a a a a a", "a cat sits on a mat", "there is a cat on the mat"),
    ("a cat sits on a mat", "a cat sits on a mat"),
    (
        "bus",
        "A double-decker bus is driving down the street.",
        "I'd say it's a bus - a red one...",
    ),
    ("completely different words here", "A kitchen with a stove and an oven"),
]
REFERENCE = {  # what pycocoevalcap 1.2 says of them, its PTB tokenizer included
    "bleu_4": 0.21786765161398788,
    "rouge_l": 0.47038613055050155,
    "cider": 1.9331495683475084,
}
REFERENCE_ROUGE = [0.3401487, 0.72619048, 0.47164948, 0.67244094, 0.35777126, 1, 0.19488818, 0]
WRITING = LABELS["generation"]([], 16, "greedy")


def captions(chosen: list[tuple[str, ...]]) -> pd.DataFrame:
    return rows([list(given) for _, *given in chosen], [said for said, *_ in chosen])


def test_texts_score_as_the_reference_implementation_says():
    table = captions(CAPTIONS)
    assert WRITING.metrics(table) == pytest.approx(REFERENCE, rel=1e-9)
    assert WRITING.scores(table).tolist() == pytest.approx(REFERENCE_ROUGE, abs=1e-8)
    assert WRITING.wrong(table).tolist() == [True, False, True, False, True, False, True, True]


def test_bleu_of_the_counts_that_coco_caption_publishes_for_its_example():
    """The output of its notebook: 1,000 captions of validation images."""
    right, everything = [5732, 2510, 1043, 423], [9893, 8893, 7893, 6893]
    published = [0.579, 0.404, 0.279, 0.191]
    for order, value in enumerate(published, start=1):
        found = bleu(right[:order], everything[:order], length=9893, wanted=9855)
        assert found == pytest.approx(value, abs=5e-4)


def test_bleu_is_sacrebleu_s():
    from sacrebleu.metrics import BLEU

    spelt = [[" ".join(words(text)) for text in caption] for caption in CAPTIONS]
    most = max(map(len, spelt))
    streams = [[given[n] if n < len(given) else None for given in spelt] for n in range(1, most)]
    said = [caption[0] for caption in spelt]
    other = BLEU(tokenize="none", smooth_method="none").corpus_score(said, streams)
    assert WRITING.metrics(captions(CAPTIONS))["bleu_4"] == pytest.approx(other.score / 100)


def test_a_text_that_is_right_reaches_the_most_and_silence_nothing():
    right = [("a b c d e", "A b c d e."), ("one two three four", "five", "One, two, three four!")]
    found = WRITING.metrics(captions(right))
    assert found["bleu_4"] == pytest.approx(1) and found["rouge_l"] == pytest.approx(1)
    apart = WRITING.metrics(captions([right[0], ("w x y z", "w x y z")]))
    assert apart["cider"] == pytest.approx(10)
    silent = WRITING.metrics(captions([("", "a b c d"), ("!", "c d"), ("", "...")]))
    assert silent == pytest.approx({"bleu_4": 0, "rouge_l": 0, "cider": 0}, abs=1e-12)


def test_bleu_4_needs_texts_of_four_words():
    """Of answers of one word it would be 0, be they right or wrong."""
    found = WRITING.metrics(captions([("yes", "yes"), ("red", "a b c")]))
    assert set(found) == {"rouge_l", "cider"}


def test_cider_needs_other_texts_to_know_which_words_are_rare():
    assert set(WRITING.metrics(captions(CAPTIONS[:1]))) == {"bleu_4", "rouge_l"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A man's dog, isn't it?", "a man 's dog is n't it"),
        ("They’ve 1,000.5 well-known friends", "they 've 1,000.5 well-known friends"),
        ("“Maybe” – (so) 「は」…", "maybe so は"),
        ("50% & $3 @ 3:30", "50 % & $ 3 @ 3:30"),
        ("第9号は red です", "第 9 号 は red で す"),
        ("naïve Ünder_score", "naïve ünder_score"),
        ("... -- ''", ""),
    ],
)
def test_words_of_a_text(text, expected):
    assert " ".join(words(text)) == expected


def test_a_metric_that_is_no_share_is_written_as_a_number():
    assert written("cider", 1.25) == "1.25" and written("bleu_4", 0.25) == "25.00%"
