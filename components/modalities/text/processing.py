"""Texts to token ids.

Without torch, whose import takes longer than to encode ten thousand texts.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from components.common.errors import InputError
from components.data.bpe import train_bpe
from components.modalities.settings import TextSettings
from components.modalities.text.decoding import decode, normalise

PAD, MASK = 0, 1  # ids of the special tokens, whichever tokenizer gives the others
SPECIAL = ("<pad>", "<mask>")  # in the order in which they are trained


def train_tokenizer(texts: Iterable[str], settings: TextSettings) -> Tokenizer:
    """Learn a vocabulary from `texts`; any text in any language can be encoded with it."""
    return train_bpe(map(normalise, texts), settings.vocabulary, SPECIAL)


def load_tokenizer(path: Path, settings: TextSettings) -> Tokenizer:
    """Read a `tokenizer.json` that was trained elsewhere.

    Raises:
        InputError: it is none, or it has more tokens than the settings make room for.
    """
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library has no narrower one
        raise InputError(
            f"preprocess.text.tokenizer: {path} is no tokenizer.json of the tokenizers library: "
            f"{error}. Name such a file, or null to train a tokenizer"
        ) from error
    tokenizer.no_padding()  # a file may ask for both
    tokenizer.no_truncation()
    needed = max(tokenizer.get_vocab().values(), default=-1) + 1 + _shift(tokenizer)
    if needed > settings.vocabulary:
        raise InputError(
            f"preprocess.text.vocabulary: found {settings.vocabulary}, but {path} needs {needed}. "
            "Set it to that"
        )
    return tokenizer


def complete(tokenizer: Tokenizer, pad_id: int, max_tokens: int) -> None:
    """Let the tokenizer of a model of Transformers make texts as the model knows them.

    It will cut and pad them by itself and add its special tokens; its JSON says so too.
    """
    tokenizer.enable_truncation(max_tokens)
    tokenizer.enable_padding(pad_id=pad_id, length=max_tokens)


class TextProcessor:
    """Encodes texts with a tokenizer: one of `complete` does it all itself."""

    def __init__(self, settings: TextSettings, tokenizer: Tokenizer):
        self.max_tokens = settings.max_tokens
        self.tokenizer = tokenizer
        self._complete = tokenizer.padding is not None
        self._shift = 0 if self._complete else _shift(tokenizer)
        # "<mask>" in a text is four letters and two signs.
        tokenizer.encode_special_tokens = not self._complete

    def __call__(self, contents: list[bytes]) -> dict[str, np.ndarray]:
        """Encode UTF-8 texts.

        Returns:
            `tokens`: int64 [N, max_tokens], padded; `lengths`: int64 [N], at least 1.

        Raises:
            UnicodeDecodeError: a text is not UTF-8.
        """
        texts = [decode(content) for content in contents]
        tokens = np.full((len(texts), self.max_tokens), PAD, np.int64)  # [N, L]
        lengths = np.ones(len(texts), np.int64)
        encodings = self.tokenizer.encode_batch_fast(texts, add_special_tokens=self._complete)
        for row, encoding in enumerate(encodings):
            ids = encoding.ids[: self.max_tokens]
            tokens[row, : len(ids)] = np.array(ids, np.int64) + self._shift
            lengths[row] = max(1, sum(encoding.attention_mask[: self.max_tokens]))
        return {"tokens": tokens, "lengths": lengths}


def _shift(tokenizer: Tokenizer) -> int:
    """What is added to the ids of a tokenizer that has other tokens where PAD and MASK are."""
    own = [tokenizer.token_to_id(word) for word in SPECIAL]
    return 0 if own == [PAD, MASK] else len(SPECIAL)
