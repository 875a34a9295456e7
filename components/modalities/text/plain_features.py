"""Plain features of texts: words and characters, as TF-IDF or hashed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.pipeline import make_union

from components.modalities.text.decoding import decode
from components.modalities.text.modality import BUCKETS

MAX_CHARACTERS = 1_000  # of a text that are looked at
MAX_FEATURES = 20_000  # of each kind
WORD = r"\w+|[^\w\s]"  # a text of signs alone has words too
WORDS: dict[str, Any] = {"ngram_range": (1, 2), "token_pattern": WORD}
CHARACTERS: dict[str, Any] = {"ngram_range": (2, 4), "analyzer": "char_wb"}  # within a word
MOST = 127  # times that are counted


def describe(content: bytes, inputs: None) -> str:
    """Return the beginning of a text."""
    return decode(content)[:MAX_CHARACTERS]


def vectorizer() -> Any:
    """See `PlainFeatures`: words and pairs of them, and two to four characters within a word."""
    options: dict[str, Any] = {"sublinear_tf": True, "max_features": MAX_FEATURES}
    kinds = (TfidfVectorizer(**kind, **options) for kind in (WORDS, CHARACTERS))
    return make_union(*kinds)


def hashed(texts: Sequence[str]) -> np.ndarray:
    """Return how often words and characters occur, int8 [N, KINDS · BUCKETS].

    Those that share a bucket by chance are added or subtracted (Weinberger et al. 2009).
    """
    options: dict[str, Any] = {"n_features": BUCKETS, "norm": None}
    kinds = (HashingVectorizer(**kind, **options) for kind in (WORDS, CHARACTERS))
    counts = make_union(*kinds).transform([text[:MAX_CHARACTERS] for text in texts]).toarray()
    return counts.clip(-MOST, MOST).astype(np.int8)
