"""BLEU-4, ROUGE-L and CIDEr-D, as coco-caption computes them.

coco-caption (Chen et al. 2015) is the standard evaluation of captions; given the same words these
are its numbers. It splits texts with a program in Java; here a regular expression follows the same
rules: lower case, contractions in two, no punctuation.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

ORDERS = range(1, 5)  # of the n-grams
BETA = 1.2  # weight of recall against precision in ROUGE-L
LENGTH_SIGMA = 6.0  # words, standard deviation of the length penalty of CIDEr-D
TINY, SMALL = 1e-15, 1e-9  # as in coco-caption, against division by 0

ALONE = "\u3040-\u30ff\u3400-\u9fff"  # Japanese and Chinese: without spaces, a character is a word
WORDS = re.compile(
    rf"[{ALONE}]"
    r"|[^\W\d_]+?(?=n't\b)|n't\b|'(?:s|m|d|re|ve|ll)\b"  # do n't, it 's
    r"|\d+(?:[.,:]\d+)+"
    rf"|[^\W{ALONE}]+(?:-[^\W{ALONE}]+)*"
    r"""|[^\w\s'"`.?!,:;()\[\]{}“”„«»‘…–—。、！？「」-]"""  # symbols other than punctuation: $, &
)


@dataclass(frozen=True)
class Pair:
    """A prediction and its references."""

    prediction: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class Overlap:
    """What a prediction has in common with its references."""

    matches: list[int]  # n-grams that a reference has too, per order
    total: list[int]  # n-grams of the prediction, per order
    length: int  # words of the prediction
    reference_length: int  # words of the reference that is nearest in length


@lru_cache(maxsize=1 << 16)  # the same texts occur with every subset of modalities
def words(text: str) -> tuple[str, ...]:
    """Return the words of a text."""
    return tuple(WORDS.findall(text.lower().replace("’", "'")))


@lru_cache(maxsize=1 << 16)
def grams(text: str) -> Counter[tuple[str, ...]]:
    """Return the count of each n-gram in a text; do not change it."""
    found = words(text)
    return Counter(found[i : i + n] for n in ORDERS for i in range(len(found) - n + 1))


@lru_cache(maxsize=1 << 16)
def overlap(pair: Pair) -> Overlap:
    """Return what a prediction has in common with its references."""
    predicted, length = grams(pair.prediction), len(words(pair.prediction))
    most: Counter[tuple[str, ...]] = Counter()
    for reference in pair.references:
        most |= grams(reference)
    lengths = [len(words(reference)) for reference in pair.references]
    nearest = min(lengths, key=lambda other: (abs(other - length), other))
    return Overlap(_counts(predicted & most), _counts(predicted), length, nearest)


def _counts(counts: Counter[tuple[str, ...]]) -> list[int]:
    return [sum(n for gram, n in counts.items() if len(gram) == order) for order in ORDERS]


def bleu_4(pairs: Iterable[Pair]) -> float:
    """Return the geometric mean of the precisions times the brevity penalty (Papineni 2002)."""
    found = [overlap(pair) for pair in pairs]
    matches = [sum(counts) for counts in zip(*(f.matches for f in found), strict=True)]
    total = [sum(counts) for counts in zip(*(f.total for f in found), strict=True)]
    length, reference_length = sum(f.length for f in found), sum(f.reference_length for f in found)
    return bleu(matches, total, length, reference_length)


def bleu(matches: Sequence[int], total: Sequence[int], length: int, reference_length: int) -> float:
    """Return BLEU of a corpus from sums of the counts of `Overlap`."""
    precisions = [(m + TINY) / (t + SMALL) for m, t in zip(matches, total, strict=True)]
    ratio = (length + TINY) / (reference_length + SMALL)
    return math.prod(precisions) ** (1 / len(precisions)) * min(1.0, math.exp(1 - 1 / ratio))


@lru_cache(maxsize=1 << 16)
def rouge_l(pair: Pair) -> float:
    """Return the F of the longest common subsequences (Lin & Och 2004)."""
    said, given = words(pair.prediction), [words(reference) for reference in pair.references]
    common = [_common(said, reference) for reference in given]
    precision = max(common) / max(len(said), 1)
    recall = max(n / max(len(reference), 1) for n, reference in zip(common, given, strict=True))
    if not precision:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for place, other in enumerate(second, start=1):
            above = row[place]
            row[place] = diagonal + 1 if word == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]


def cider(pairs: Sequence[Pair]) -> float:
    """Return CIDEr-D (Vedantam et al. 2015, equation 7 ff.).

    It is 10 × the mean similarity of the tf-idf vectors of n-grams. The document frequencies are
    those of the references of all `pairs`, so a score belongs to its corpus; of one pair it is 0.
    """
    documents = Counter(g for pair in pairs for g in set().union(*map(grams, pair.references)))
    rarity = {gram: math.log(len(pairs) / count) for gram, count in documents.items()}
    unseen = math.log(len(pairs))

    @cache
    def vector(text: str) -> dict[tuple[str, ...], float]:
        return {gram: n * rarity.get(gram, unseen) for gram, n in grams(text).items()}

    def similarity(said: str, reference: str) -> float:
        shorter = _bigrams(said) - _bigrams(reference)
        penalty = math.exp(-(shorter**2) / (2 * LENGTH_SIGMA**2))
        return _cosine(vector(said), vector(reference)) * penalty

    def score(pair: Pair) -> float:
        sums = [similarity(pair.prediction, reference) for reference in pair.references]
        return 10 * sum(sums) / len(sums)

    return sum(count * score(pair) for pair, count in Counter(pairs).items()) / len(pairs)


def _bigrams(text: str) -> int:
    """Return the number of bigrams, which coco-caption takes for the length."""
    return max(len(words(text)) - 1, 0)


def _cosine(said: dict[tuple[str, ...], float], reference: dict[tuple[str, ...], float]) -> float:
    """Return the cosine of two vectors, clipped at the reference, averaged over `ORDERS`."""
    dots, squares, wanted = ([0.0] * len(ORDERS) for _ in range(3))
    for gram, value in said.items():
        other = reference.get(gram, 0.0)
        dots[len(gram) - 1] += min(value, other) * other
        squares[len(gram) - 1] += value**2
    for gram, value in reference.items():
        wanted[len(gram) - 1] += value**2
    norms = [math.sqrt(a) * math.sqrt(b) for a, b in zip(squares, wanted, strict=True)]
    return sum(d / n for d, n in zip(dots, norms, strict=True) if n) / len(ORDERS)
