"""Corruptions of texts: what people who type do to them, and what is lost on the way.

A text is never left empty: where nothing would remain, it stays as it was.
"""

from collections.abc import Callable, Iterator
from functools import wraps

import numpy as np

from components.modalities.corruption import Alter, Corruption

KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # each row half a key to the right of the one above


def on_text(alter: Callable[..., str]) -> Alter:
    """Files to files, from a function of texts."""

    @wraps(alter)
    def on_file(content: bytes, level: float, rng: np.random.Generator) -> bytes:
        text = content.decode()
        changed = alter(text, level, rng)
        return changed.encode() if changed.strip() else content

    return on_file


def _neighbours() -> Iterator[tuple[str, str]]:
    for row, keys in enumerate(KEYS):
        for place, key in enumerate(keys):
            beside = [(row, place - 1), (row, place + 1), (row - 1, place), (row - 1, place + 1)]
            beside += [(row + 1, place - 1), (row + 1, place)]
            near = [KEYS[r][p] for r, p in beside if 0 <= r < len(KEYS) and 0 <= p < len(KEYS[r])]
            yield key, "".join(near)


NEIGHBOURS = dict(_neighbours())


@on_text
def typos(text: str, share: float, rng: np.random.Generator) -> str:
    """A share of the letters is mistyped: the key beside, left out, twice, or after the next."""
    hit, kind, key = rng.random((3, len(text)))
    result, pending = [], ""
    for place, sign in enumerate(text):
        typed, later = sign, ""
        if sign.isalpha() and hit[place] < share:
            match int(kind[place] * 4):
                case 0:
                    near = NEIGHBOURS.get(sign.lower(), sign)
                    typed = near[int(key[place] * len(near))]
                case 1:
                    typed = ""
                case 2:
                    typed = sign * 2
                case 3:
                    typed, later = "", sign
        result.append(typed + pending)
        pending = later
    return "".join(result) + pending


@on_text
def word_drop(text: str, share: float, rng: np.random.Generator) -> str:
    """A share of the words is left out."""
    words = text.split()
    return " ".join(w for w, u in zip(words, rng.random(len(words)), strict=True) if u >= share)


@on_text
def word_order(text: str, share: float, rng: np.random.Generator) -> str:
    """A share of the words changes places with any other word, one after the other."""
    words = text.split()
    hit, other = rng.random((2, len(words)))
    for place in np.flatnonzero(hit < share):
        partner = int(other[place] * len(words))
        words[place], words[partner] = words[partner], words[place]
    return " ".join(words)


@on_text
def casing(text: str, share: float, rng: np.random.Generator) -> str:
    """A share of the letters changes from small to capital or back."""
    return "".join(
        sign.swapcase() if u < share else sign
        for sign, u in zip(text, rng.random(len(text)), strict=True)
    )


@on_text
def punctuation(text: str, share: float, rng: np.random.Generator) -> str:
    """A share of the signs that are neither letter nor digit nor space is left out."""
    kept = rng.random(len(text)) >= share
    return "".join(s for s, k in zip(text, kept, strict=True) if k or s.isalnum() or s.isspace())


@on_text
def run_together(text: str, share: float, rng: np.random.Generator) -> str:
    """A share of the spaces is left out."""
    kept = rng.random(len(text)) >= share
    return "".join(s for s, k in zip(text, kept, strict=True) if k or not s.isspace())


CORRUPTIONS = {
    "typos": Corruption("text", typos, (0.03, 0.06, 0.1, 0.15, 0.25), is_quick=True),
    "word_drop": Corruption("text", word_drop, (0.1, 0.2, 0.3, 0.4, 0.5), is_quick=True),
    "word_order": Corruption("text", word_order, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "casing": Corruption("text", casing, (0.1, 0.25, 0.5, 0.75, 1.0), is_quick=True),
    "punctuation": Corruption("text", punctuation, (0.2, 0.4, 0.6, 0.8, 1.0)),
    "run_together": Corruption("text", run_together, (0.1, 0.2, 0.3, 0.4, 0.5)),
}
