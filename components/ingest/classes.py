"""Classes as a person should see them: with their counts, and which of them look like mistakes."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from components.common.errors import listed
from components.common.far_numbers import far_numbers
from components.common.spelling import alike, printable, quoted, spelling
from components.tasks.registry import labels_of
from components.tasks.settings import TaskSettings

Counts = Mapping[str, int]  # by class
HELD_OUT = ("test", "validation")  # splits, in the order in which figures are taken of them

MOST, RAREST = 15, 5  # classes of a task in the log, where there are more than both
RARE = 5  # training samples; fewer teach and measure little
MANY = 1_000  # classes, among which similar ones are not looked for
SIMILAR = 0.8  # of 1: spellings that may be one word with a slip
EMPTY = {
    *("nan", "null", "none", "nil", "n/a", "na", "n.a.", "#n/a", "<na>", "nat"),
    *("unknown", "undefined", "missing", "tbd", "-", "--", "?", "."),
}
SEPARATORS = ("|", ";", ",", "/", " ")
BRACKETS = ("[]", "{}")  # around a list
YES_OR_NO = {"yes", "no", "y", "n", "true", "false", "t", "f", "1", "0"}


def summary(counts: Counts) -> str:
    """Return the classes with their counts, the most frequent first; of many, both ends."""
    ranked = [f"{printable(name)} {count:,}" for name, count in Counter(counts).most_common()]
    if len(ranked) <= MOST + RAREST:
        return ", ".join(ranked) or "no labels"
    left_out = f"{len(ranked) - MOST - RAREST} more"
    return ", ".join([*ranked[:MOST], f"… {left_out} …", *ranked[-RAREST:]])


def number_summary(counts: Counts) -> str:
    """Return the range of labels that are numbers."""
    numbers = sorted(map(float, counts))
    if not numbers:
        return "no labels"
    return f"{sum(counts.values()):,} numbers from {numbers[0]:g} to {numbers[-1]:g}"


def one_line(task: TaskSettings, by_split: Mapping[str, Counts]) -> str:
    """Return the labels of a task, all splits together, in one line."""
    is_number = pa.types.is_floating(labels_of(task.kind).TYPE)
    return (number_summary if is_number else summary)(_total(by_split))


def suspicious(name: str, task: TaskSettings, by_split: Mapping[str, Counts]) -> list[str]:
    """Return a sentence for each way in which classes of a task look like mistakes."""
    total, setting = _total(by_split), f"tasks.{name}"
    if pa.types.is_floating(labels_of(task.kind).TYPE):
        return [
            f"{far} ({total[far]:,}) lies far from the other numbers, {others}; if it means that "
            "the label is unknown, leave the cell empty"
            for far, others in far_numbers(total)
        ]
    if task.kind not in ("classification", "multilabel"):  # answers vary
        return []
    train, held_out = by_split["train"], next((s for s in HELD_OUT if by_split[s]), None)
    rare = [c for c in total if train.get(c, 0) < RARE]
    unmeasured = [c for c in sorted(train) if held_out and c not in rare + list(by_split[held_out])]
    sentences = {
        "usually mean an empty cell; if the label is unknown, leave the cell empty": [
            _counted(total, [c]) for c in sorted(total) if c.casefold() in EMPTY or not spelling(c)
        ],
        "differ in case, blanks, zeros, invisible characters or letters that look the same only; "
        "write all of them as one if they are": [
            _counted(total, group) for group in alike(total) if spelling(group[0])
        ],
        "mean yes or no in several ways; write each in one way": several_ways(total),
        f"look like several classes; {_advice(task, setting)}": [
            _counted(total, [c]) for c in joined(total, task.kind == "multilabel")
        ],
        "may be one class with a slip": [_counted(total, pair) for pair in slips(total, rare)],
        f"have fewer than {RARE} training samples": [
            _counted(train, [c]) for c in sorted(rare, key=lambda c: (train.get(c, 0), c))
        ],
        f"have no sample in the {held_out} split, whose figures say nothing about them": [
            _counted(train, [c]) for c in unmeasured
        ],
    }
    return [f"{listed(found)} {why}" for why, found in sentences.items() if found]


def joined(classes: Iterable[str], lists_expected: bool) -> list[str]:
    """Return classes that look like lists of classes.

    Where lists are not expected, one of their parts has to be a class, or part of another list;
    with blanks between them, every part has to be a class.
    """
    names = sorted(classes)
    alone = set(names)
    parts = {(name, mark): _parts(name, mark) for name in names for mark in SEPARATORS}
    often = Counter((mark, part) for (_, mark), found in parts.items() for part in set(found))

    def is_list(name: str, mark: str) -> bool:
        found = parts[name, mark]
        if name[:1] + name[-1:] in BRACKETS:
            return True
        if len(found) < 2 or mark == " ":
            return len(found) > 1 and alone.issuperset(found)
        return lists_expected or any(p in alone or often[mark, p] > 1 for p in found)

    return [name for name in names if any(is_list(name, mark) for mark in SEPARATORS)]


def several_ways(classes: Iterable[str]) -> list[str]:
    """Return classes that all mean yes or no, if one of the two is written in several ways."""
    names = sorted(classes)
    ways = {spelling(name) for name in names}
    return [quoted(name) for name in names] if len(ways) > 2 and ways <= YES_OR_NO else []


def slips(counts: Counts, rare: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield rare classes, each with a frequent one whose name is similar."""
    frequent = [name for name, count in counts.items() if count >= RARE]
    for name in sorted(rare) if len(counts) <= MANY else ():
        for near in difflib.get_close_matches(name, frequent, n=1, cutoff=SIMILAR):
            same_digits = re.findall(r"[0-9]", name) == re.findall(r"[0-9]", near)
            if len(name) > 3 and same_digits and spelling(name) != spelling(near):
                yield name, near


def _total(by_split: Mapping[str, Counts]) -> Counts:
    total: Counter[str] = Counter()
    for counts in by_split.values():
        total.update(counts)
    return total


def _counted(counts: Counts, names: Iterable[str]) -> str:
    return " and ".join(f"{quoted(name)} ({counts.get(name, 0):,})" for name in names)


def _advice(task: TaskSettings, setting: str) -> str:
    if separator := getattr(task, "separator", None):
        return f"{setting}.separator is {separator!r}, set it to that of the cells"
    return f"if so, {setting} needs kind: multilabel, and separator"


def _parts(name: str, mark: str) -> list[str]:
    return [part.strip() for part in name.split(mark) if part.strip()]
