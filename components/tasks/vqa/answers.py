"""Answers of people to a question about an image: spelt alike, and compared (Antol et al. 2015).

The processing is what the page https://visualqa.org/evaluation.html describes.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

ENOUGH = 3  # people who gave an answer make it wholly right

ARTICLES = {"a", "an", "the"}
NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
} | {"none": "0"}
DIGIT_GROUP = re.compile(r"(?<=\d),(?=\d)")
PERIOD = re.compile(r"\.(?!\d)")  # not that of a decimal
PUNCTUATION = re.compile(r"[;/\[\]\"{}()=+\\_\-><@`,?!]")  # neither apostrophe nor colon

CONTRACTED = {  # ending → what it follows; left out are those that spell another word: its, well
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
    """An answer as it is compared; "" if it was articles and punctuation alone."""
    text = DIGIT_GROUP.sub("", answer.lower())
    text = PUNCTUATION.sub(" ", PERIOD.sub("", text))
    words = [NUMBERS.get(word, word) for word in text.split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def score(count: int) -> float:
    """How right an answer is that `count` people gave: 0 to 1."""
    return min(count / ENOUGH, 1.0)


def accuracy(answer: str, given: Sequence[str]) -> float:
    """The official accuracy of an answer: its mean score over all sets of all people but one."""
    count = [normalise(other) for other in given].count(normalise(answer))
    if len(given) == 1:  # leaves nobody to compare with
        return score(count)
    total = count * score(count - 1) + (len(given) - count) * score(count)
    return total / len(given)
