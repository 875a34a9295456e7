"""Answers are compared as the VQA evaluation describes it."""

import pytest

from components.tasks.vqa.answers import accuracy, normalise, score


@pytest.mark.parametrize(
    ("answer", "normalised"),
    [
        ("Yes", "yes"),
        ("yes.", "yes"),
        ("3.5", "3.5"),
        ("U.S.", "us"),
        ("100,978", "100978"),
        ("red, white", "red white"),
        ("t-shirt", "t shirt"),
        ("black/white", "black white"),
        ("two", "2"),
        ("ten dogs", "10 dogs"),
        ("none", "0"),
        ("The a man on an horse", "man on horse"),
        ("dont", "don't"),
        ("it isnt", "it isn't"),
        ("theyre", "they're"),
        ("its", "its"),
        ("girl's", "girl's"),
        ("2:50 pm", "2:50 pm"),
        ("what?!", "what"),
        ('"stop"', "stop"),
        ("  two   words ", "2 words"),
        ("The", ""),
        ("...", ""),
        ("猫", "猫"),
    ],
)
def test_normalised_answer(answer, normalised):
    assert normalise(answer) == normalised
    assert normalise(normalised) == normalised


def test_answer_of_three_people_scores_one():
    assert [score(n) for n in range(5)] == [0, 1 / 3, 2 / 3, 1, 1]


@pytest.mark.parametrize(
    ("count", "expected"),
    # Leaving one of the ten out: `count` times one of those who agree, else one of the others.
    [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)],
)
def test_accuracy_is_the_mean_over_all_sets_of_nine(count, expected):
    given = ["Two."] * count + ["seven"] * (10 - count)
    assert accuracy("2", given) == pytest.approx(expected)
    by_hand = []
    for left_out in range(10):
        others = given[:left_out] + given[left_out + 1 :]
        by_hand.append(min(others.count("Two.") / 3, 1))
    assert accuracy("2", given) == pytest.approx(sum(by_hand) / 10)


def test_answer_of_one_person_scores_a_third():
    assert accuracy("yes", ["yes"]) == 1 / 3
    assert accuracy("no", ["yes"]) == 0
