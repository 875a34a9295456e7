"""Which words are said: what sounds teach their encoder where nearly each says another text."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from tokenizers import Regex
from tokenizers.pre_tokenizers import Split
from torch import Tensor

from components.data.shards import media_of
from components.modalities.text.decoding import decode
from components.tasks.multilabel.labels import THRESHOLD
from components.tasks.vqa.head import Vqa

MOST = 1_000  # words, the most frequent: nearly all that a corpus of captions says

UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
SIGN = rf"[\p{{L}}\p{{M}}\p{{N}}&&[^{UNSPACED}]]"
WORD = Split(Regex(rf"[{UNSPACED}]|{SIGN}+(?:['’]{SIGN}+)*"), "removed", invert=True)


def words(text: str) -> tuple[str, ...]:
    """The distinct words of a text in their order, in lower case.

    A word is a run of letters, marks and digits, with apostrophes inside; where a script has no
    spaces between words, each of its characters counts as one.
    """
    found = (word for word, _ in WORD.pre_tokenize_str(text.casefold()))
    return tuple(dict.fromkeys(map(sys.intern, found)))


def words_of(media: Path, wanted: Set[str]) -> dict[str, tuple[str, ...]]:
    """The words of texts, by text id.

    Args:
        media: the media shard set of text.
        wanted: the ids of the texts.
    """
    return {asset_id: words(decode(content)) for asset_id, content in media_of(media, wanted)}


def most_frequent(texts: Iterable[str], said: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The words of the most texts; those of equally many are in the order of the alphabet."""
    counts = Counter(word for text in texts for word in said[text])
    return sorted(counts, key=lambda word: (-counts[word], word))[:MOST]


class Words(Vqa):
    """A sigmoid a word: a visually grounded bag of words (Kamper et al. 2017), grounded in text.

    Targets are float [B, K, 2] as `Vqa`'s, a word that is said having the score 1.
    """

    QUALITY = "f1"

    def _scores(self, given: Iterable[str]) -> list[tuple[int, float]]:
        return [(self.codes[word], 1.0) for word in given if word in self.codes]

    @staticmethod
    def quality(logits: Tensor, targets: Tensor) -> float:
        """See `Kind`: F1 over all decisions at once."""
        classes, scores = targets.unbind(-1)  # [n, K] each
        chosen = logits.sigmoid() > THRESHOLD  # [n, classes]
        right = chosen.gather(1, classes.long()) & (scores > 0)
        decisions = int(chosen.sum() + (scores > 0).sum())
        return 2 * int(right.sum()) / decisions if decisions else 1.0
