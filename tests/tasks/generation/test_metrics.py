"""BLEU-4, ROUGE-L and CIDEr-D, against the reference implementations."""

import json

import pandas as pd
import pytest

from components.tasks.generation.labels import TextLabels
from components.tasks.generation.metrics import GenerationMetrics
from components.tasks.generation.text_metrics import bleu, words

CAPTIONS = [  # prediction and references
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
REFERENCE = {  # of pycocoevalcap 1.2, its PTB tokenizer included
    "bleu_4": 0.21786765161398788,
    "rouge_l": 0.47038613055050155,
    "cider": 1.9331495683475084,
}
REFERENCE_ROUGE = [0.3401487, 0.72619048, 0.47164948, 0.67244094, 0.35777126, 1, 0.19488818, 0]
METRICS = GenerationMetrics(TextLabels([], 16, "greedy"))


def table(captions: list[tuple[str, ...]]) -> pd.DataFrame:
    rows = [(json.dumps(list(references)), said) for said, *references in captions]
    return pd.DataFrame(rows, columns=["target", "prediction"], index=range(5, 5 + len(rows)))


def test_scores_equal_the_reference_implementation():
    rows = table(CAPTIONS)
    assert METRICS.compute(rows) == pytest.approx(REFERENCE, rel=1e-9)
    assert METRICS.scores(rows).tolist() == pytest.approx(REFERENCE_ROUGE, abs=1e-8)
    wrong = [True, False, True, False, True, False, True, True]
    assert METRICS.is_wrong(rows).tolist() == wrong


def test_rouge_l_is_primary():
    assert METRICS.primary().name == "rouge_l"


def test_bleu_of_the_counts_that_coco_caption_publishes():
    """The output of its notebook: 1,000 captions of validation images."""
    matches, total = [5732, 2510, 1043, 423], [9893, 8893, 7893, 6893]
    published = [0.579, 0.404, 0.279, 0.191]
    for order, value in enumerate(published, start=1):
        found = bleu(matches[:order], total[:order], length=9893, reference_length=9855)
        assert found == pytest.approx(value, abs=5e-4)


def test_bleu_equals_sacrebleu():
    from sacrebleu.metrics import BLEU

    tokenized = [[" ".join(words(text)) for text in caption] for caption in CAPTIONS]
    longest = max(map(len, tokenized))
    streams = [[c[n] if n < len(c) else None for c in tokenized] for n in range(1, longest)]
    predictions = [caption[0] for caption in tokenized]
    other = BLEU(tokenize="none", smooth_method="none").corpus_score(predictions, streams)
    assert METRICS.compute(table(CAPTIONS))["bleu_4"] == pytest.approx(other.score / 100)


def test_bounds_are_reached():
    right = [("a b c d e", "A b c d e."), ("one two three four", "five", "One, two, three four!")]
    found = METRICS.compute(table(right))
    assert found["bleu_4"] == pytest.approx(1) and found["rouge_l"] == pytest.approx(1)
    apart = METRICS.compute(table([right[0], ("w x y z", "w x y z")]))
    assert apart["cider"] == pytest.approx(10)
    silent = METRICS.compute(table([("", "a b c d"), ("!", "c d"), ("", "...")]))
    assert silent == pytest.approx({"bleu_4": 0, "rouge_l": 0, "cider": 0}, abs=1e-12)


def test_bleu_4_needs_references_of_four_words():
    """For answers of one word it would be 0, right or wrong."""
    found = METRICS.compute(table([("yes", "yes"), ("red", "a b c")]))
    assert set(found) == {"rouge_l", "cider"}


def test_cider_needs_several_texts():
    assert set(METRICS.compute(table(CAPTIONS[:1]))) == {"bleu_4", "rouge_l"}


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
