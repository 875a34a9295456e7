"""Normalises and compares answers of people to questions about images (Antol et al. 2015).

The processing is described on https://visualqa.org/evaluation.html.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

ENOUGH = 3  # people who gave an answer make it fully right

ARTICLES = {"a", "an", "the"}
WORDS = "zero one two three four five six seven eight nine ten"
NUMBERS = {word: str(number) for number, word in enumerate(WORDS.split())} | {"none": "0"}
DIGIT_GROUP = re.compile(r"(?<=\d),(?=\d)")
PERIOD = re.compile(r"\.(?!\d)")  # not that of a decimal
PUNCTUATION = re.compile(r"[;/\[\]\"{}()=+\\_\-><@`,?!]")  # neither apostrophe nor colon

CONTRACTED = {  # ending → stems; without those that spell another word: its, well
    "n't": "ai are ca could did do does had has have is might must need ought sha should was "
    "were wo would",
    "'ve": "could i might must should they we what where who would you",
    "'s": "he here how let she that there what when where who why someone somebody something",
    "'d": "he how it that there they what where who why you",
    "'ll": "how it that there they what who why you",
    "'re": "there they what who why you",
    "'m": "i",
}
CONTRACTIONS = {
    (stem + ending).replace("'", ""): stem + ending
    for ending, stems in CONTRACTED.items()
    for stem in stems.split()
} | {"maam": "ma'am", "oclock": "o'clock", "yall": "y'all"}


@lru_cache(maxsize=1 << 16)  # ten people often say the same
def normalise(answer: str) -> str:
    """Return an answer in the form that is compared; "" if nothing but punctuation is left."""
    text = DIGIT_GROUP.sub("", answer.lower())
    text = PUNCTUATION.sub(" ", PERIOD.sub("", text))
    words = [NUMBERS.get(word, word) for word in text.split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def score(count: int) -> float:
    """Return the score of an answer that `count` people gave, 0 to 1."""
    return min(count / ENOUGH, 1.0)


def accuracy(answer: str, given: Sequence[str]) -> float:
    """Return the official accuracy: the mean score over all sets of all people but one."""
    count = [normalise(other) for other in given].count(normalise(answer))
    if len(given) == 1:  # leaves nobody to compare with
        return score(count)
    total = count * score(count - 1) + (len(given) - count) * score(count)
    return total / len(given)
