"""Plain features of texts: TF-IDF of words and of characters."""

from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union

from components.modalities.settings import InputSettings
from components.modalities.text.decoding import decode

MAX_CHARACTERS = 1_000  # of a text that are looked at
MAX_FEATURES = 20_000  # of each kind
WORD = r"\w+|[^\w\s]"  # a text of signs alone has words too


def describe(content: bytes, inputs: InputSettings) -> str:
    """Return the beginning of a text."""
    return decode(content)[:MAX_CHARACTERS]


def vectorizer() -> Any:
    """See `PlainFeatures`: words and pairs of them, and two to four characters within a word."""
    options: dict[str, Any] = {"sublinear_tf": True, "max_features": MAX_FEATURES}
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=WORD, **options)
    characters = TfidfVectorizer(ngram_range=(2, 4), analyzer="char_wb", **options)
    return make_union(words, characters)
