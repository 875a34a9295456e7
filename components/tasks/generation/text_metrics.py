"""How much texts have in common: BLEU-4, ROUGE-L and CIDEr-D, as coco-caption computes them.

coco-caption (Chen et al. 2015) is what captions are compared with all over the literature; given
the same words these are its numbers. It takes words from a program in Java; here a regular
expression splits texts by the same rules: lower case, contractions in two, no punctuation.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

ORDERS = range(1, 5)  # of the n-grams
RECALL = 1.2  # so many times as important as precision, in ROUGE-L
SPREAD = 6.0  # words that a length may differ by, a standard deviation, in CIDEr-D
TINY, SMALL = 1e-15, 1e-9  # keep BLEU from dividing by 0

ALONE = "\u3040-\u30ff\u3400-\u9fff"  # Japanese and Chinese: no spaces, so a sign is a word
WORDS = re.compile(
    rf"[{ALONE}]"
    r"|[^\W\d_]+?(?=n't\b)|n't\b|'(?:s|m|d|re|ve|ll)\b"  # do n't, it 's
    r"|\d+(?:[.,:]\d+)+"
    rf"|[^\W{ALONE}]+(?:-[^\W{ALONE}]+)*"
    r"""|[^\w\s'"`.?!,:;()\[\]{}“”„«»‘…–—。、！？「」-]"""  # a sign that is no punctuation: $, &
)


@dataclass(frozen=True)
class Pair:
    """A text, and the texts that would have been right."""

    said: str
    given: tuple[str, ...]


@dataclass(frozen=True)
class Overlap:
    """What a text has in common with its references.

    Attributes:
        right: its n-grams that a reference has too, for each of `ORDERS`.
        all: its n-grams, likewise.
        length: its words.
        wanted: the words of the reference that is nearest in length.
        rouge: its ROUGE-L.
    """

    right: tuple[int, ...]
    all: tuple[int, ...]
    length: int
    wanted: int
    rouge: float


@lru_cache(maxsize=1 << 16)  # the same texts come with every subset of modalities
def words(text: str) -> tuple[str, ...]:
    """The words of a text, as they are compared."""
    return tuple(WORDS.findall(text.lower().replace("’", "'")))


@lru_cache(maxsize=1 << 16)
def grams(text: str) -> Counter[tuple[str, ...]]:
    """How often each n-gram occurs in a text; not to be changed."""
    found = words(text)
    return Counter(found[i : i + n] for n in ORDERS for i in range(len(found) - n + 1))


@lru_cache(maxsize=1 << 16)
def overlap(pair: Pair) -> Overlap:
    """What a text has in common with its references."""
    said, length = grams(pair.said), len(words(pair.said))
    most = Counter()
    for reference in pair.given:
        most |= grams(reference)
    lengths = [len(words(reference)) for reference in pair.given]
    return Overlap(
        right=tuple(_sizes(said & most)),
        all=tuple(_sizes(said)),
        length=length,
        wanted=min(lengths, key=lambda other: (abs(other - length), other)),
        rouge=_rouge(words(pair.said), [words(reference) for reference in pair.given]),
    )


def _sizes(counts: Counter[tuple[str, ...]]) -> list[int]:
    return [sum(n for gram, n in counts.items() if len(gram) == order) for order in ORDERS]


def bleu_4(pairs: Iterable[Pair]) -> float:
    """The geometric mean of the precisions, shortened texts punished (Papineni et al. 2002)."""
    found = [overlap(pair) for pair in pairs]
    length, wanted = sum(f.length for f in found), sum(f.wanted for f in found)
    right = map(sum, zip(*(f.right for f in found), strict=True))
    everything = map(sum, zip(*(f.all for f in found), strict=True))
    return bleu(list(right), list(everything), length, wanted)


def bleu(right: Sequence[int], everything: Sequence[int], length: int, wanted: int) -> float:
    """BLEU of a corpus, from its counts as `Overlap` has them."""
    precisions = [(r + TINY) / (a + SMALL) for r, a in zip(right, everything, strict=True)]
    ratio = (length + TINY) / (wanted + SMALL)
    return math.prod(precisions) ** (1 / len(precisions)) * min(1.0, math.exp(1 - 1 / ratio))


def rouge_l(pairs: Iterable[Pair]) -> float:
    """The mean F of the longest common subsequences (Lin & Och 2004)."""
    found = [overlap(pair).rouge for pair in pairs]
    return sum(found) / len(found)


def _rouge(said: Sequence[str], given: Sequence[Sequence[str]]) -> float:
    common = [_common(said, reference) for reference in given]
    precision = max(common) / max(len(said), 1)
    recall = max(n / max(len(reference), 1) for n, reference in zip(common, given, strict=True))
    if not precision:
        return 0.0
    return (1 + RECALL**2) * precision * recall / (recall + RECALL**2 * precision)


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest sequence that both have, words between them aside."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for place, other in enumerate(second, start=1):
            above = row[place]
            row[place] = diagonal + 1 if word == other else max(above, row[place - 1])
            diagonal = above
    return row[-1]


def cider(pairs: Sequence[Pair]) -> float:
    """CIDEr-D (Vedantam et al. 2015, equation 7 ff.): 10 × the mean similarity of n-grams' tf-idf.

    How rare an n-gram is follows from the references of all `pairs`, so that a score is of its
    corpus; of a single pair it is 0.
    """
    documents = Counter(gram for pair in pairs for gram in set().union(*map(grams, pair.given)))
    rarity = {gram: math.log(len(pairs) / count) for gram, count in documents.items()}
    unheard = math.log(len(pairs))
    vectors: dict[str, dict] = {}

    def vector(text: str) -> dict[tuple[str, ...], float]:
        if text not in vectors:
            vectors[text] = {g: n * rarity.get(g, unheard) for g, n in grams(text).items()}
        return vectors[text]

    def score(pair: Pair) -> float:
        sums = [
            _similarity(vector(pair.said), vector(reference))
            * math.exp(-((_bigrams(pair.said) - _bigrams(reference)) ** 2) / (2 * SPREAD**2))
            for reference in pair.given
        ]
        return 10 * sum(sums) / len(sums)

    counts = Counter(pairs)
    return sum(count * score(pair) for pair, count in counts.items()) / len(pairs)


def _bigrams(text: str) -> int:
    """How many pairs of neighbours a text has: coco-caption takes them for its length."""
    return max(len(words(text)) - 1, 0)


def _similarity(
    said: dict[tuple[str, ...], float], reference: dict[tuple[str, ...], float]
) -> float:
    """The cosine of two vectors, clipped at the reference's values; the mean over `ORDERS`."""
    dots, squares, wanted = ([0.0] * len(ORDERS) for _ in range(3))
    for gram, value in said.items():
        other = reference.get(gram, 0.0)
        dots[len(gram) - 1] += min(value, other) * other
        squares[len(gram) - 1] += value**2
    for gram, value in reference.items():
        wanted[len(gram) - 1] += value**2
    norms = [math.sqrt(a) * math.sqrt(b) for a, b in zip(squares, wanted, strict=True)]
    return sum(d / n for d, n in zip(dots, norms, strict=True) if n) / len(ORDERS)
