"""Classes are printed with their counts, and those that look like mistakes are named."""

from pathlib import Path

import pytest

from components.common.files import read_json
from components.ingest.classes import (
    joined,
    several_ways,
    slips,
    summary,
    suspicious,
)
from components.tasks.registry import settings_of
from tests.ingest.stage_rows import row, samples

WORD = settings_of("classification")(column="answer")
SET = settings_of("multilabel")(column="answer")


ALIKE = (
    "differ in case, blanks, zeros, invisible characters or letters that look the same only; write "
    "all of them as one if they are"
)


def notes(task, **counts: int) -> list[str]:
    names = {name.replace("__", " "): count for name, count in counts.items()}
    return suspicious("animal", task, {"train": names, "validation": {}, "test": {}})


def test_frequent_classes_come_first():
    assert summary({"b": 2, "a": 1_200, "NaN": 2}) == "a 1,200, b 2, NaN 2"
    assert summary({}) == "no labels"


def test_of_many_classes_both_ends_are_printed():
    line = summary({f"class {n}": 100 - n for n in range(50)})
    assert line.startswith("class 0 100, ") and line.endswith("class 49 51")
    assert ", class 14 86, … 30 more …, class 45 55, " in line


def test_class_is_printed_on_one_line_without_controls():
    assert summary({"a\x1b[31m": 2, "b\nc": 1, "d" * 99: 1}) == (
        f"a\\x1b[31m 2, b\\nc 1, {'d' * 80}… 1"
    )


@pytest.mark.parametrize(
    ("classes", "lists_expected", "found"),
    [
        (["cat", "dog", "cat, dog", "cat;dog"], False, ["cat, dog", "cat;dog"]),
        (["cat", "dog", "cat dog"], False, ["cat dog"]),
        (["cat, dog", "bird, cow"], True, ["bird, cow", "cat, dog"]),
        (["cat, dog", "bird, cow"], False, []),
        (["cat/dog", "dog/bird"], False, ["cat/dog", "dog/bird"]),
        (["traffic light", "light", "fire truck"], True, []),
        (["black, white", "red"], False, []),
        (["['a', 'b']", "['a']", '["b"]', "[c", "d"], False, ['["b"]', "['a', 'b']", "['a']"]),
    ],
)  # fmt: skip
def test_joined_lists_are_recognised(classes, lists_expected, found):
    assert joined(classes, lists_expected) == found


def test_rare_class_with_a_slip_names_the_frequent_one():
    counts = {"tabby": 40, "taby": 1, "siamese": 30, "class 12": 20, "class 13": 1}
    assert list(slips(counts, ["taby", "class 13"])) == [("taby", "tabby")]


def test_notes_say_what_to_do():
    (empty,) = notes(WORD, cat=9, dog=9, NaN=7)
    assert empty.startswith("'NaN' (7) usually mean an empty cell")
    (unseen,) = notes(WORD, **{"cat": 9, "dog": 9, "\u200b": 7})
    assert unseen.startswith("'\\u200b' (7) usually mean an empty cell")
    assert notes(WORD, cat=9, Cat=8, dog=9) == [f"'Cat' (8) and 'cat' (9) {ALIKE}"]
    assert notes(WORD, **{"cat": 9, "c\u0430t": 8}) == [f"'cat' (9) and 'c\\u0430t' (8) {ALIKE}"]
    assert notes(SET, **{"cat": 9, "dog": 9, "cat;dog": 5}) == [
        "'cat;dog' (5) look like several classes; tasks.animal.separator is '|', set it to that of "
        "the cells"
    ]
    (lists,) = notes(WORD, **{"cat": 9, "dog": 9, "cat, dog": 5})
    assert "tasks.animal needs kind: multilabel" in lists
    assert notes(WORD, cat=9, dog=4) == ["'dog' (4) have fewer than 5 training samples"]
    assert notes(WORD, cat=9, dog=9) == notes(WORD, **{"-1": 9, "0": 9, "1": 9}) == []


def test_class_without_held_out_samples_is_named():
    by_split = {"train": {"a": 9, "b": 9, "c": 2}, "validation": {"a": 3}, "test": {"b": 2}}
    found = suspicious("animal", WORD, by_split)
    assert found[-1].startswith("'a' (9) have no sample in the test split")
    found = suspicious("animal", WORD, {**by_split, "test": {}})
    assert found[-1].startswith("'b' (9) have no sample in the validation split")


@pytest.mark.parametrize(
    ("classes", "found"),
    [
        (["true", "True", "yes", "0"], ["'0'", "'True'", "'true'", "'yes'"]),
        (["true", "false", "True"], []),
        (["yes", "no", "1", "2"], []),
    ],
)
def test_yes_or_no_is_written_in_one_way(classes, found):
    assert several_ways(classes) == found


def test_note_about_numbers_says_what_to_do():
    (note,) = notes(
        settings_of("regression")(column="n"), **dict.fromkeys("01234", 5), **{"-99": 2}
    )
    assert note.startswith("-99 (2) lies far from the other numbers, 0 to 4; if it means")


def test_counts_are_printed_and_reported(ingest, caplog):
    caplog.set_level("INFO")
    answers = ["0", "0.0", "1", "1.0", "NaN", "null", "01", "true"]
    assert ingest([row(str(n), answer=answers[n % 8]) for n in range(80)], page=True) == 0
    assert set(samples()["answer"]) == {"0", "1", "NaN", "null", "01", "true"}
    report = read_json(Path("report.json"))
    assert report["classes"]["answer"]["train"] == {
        "0": 20, "01": 10, "1": 20, "NaN": 10, "null": 10, "true": 10,
    }  # fmt: skip
    printed = caplog.text
    assert "answer: 0 20, 1 20, 01 10, NaN 10, null 10, true 10" in printed
    empty, alike = report["suspicious_classes"]["answer"]
    assert "'NaN' (10), 'null' (10) usually mean an empty cell" in empty
    assert f"'01' (10) and '1' (20) {ALIKE}" in alike
    assert f"answer: {alike}" in printed
    assert "&#39;NaN&#39; (10)" in Path("page.html").read_text()
