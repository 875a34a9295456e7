"""Texts to token ids, by a byte-level BPE (Sennrich et al. 2016; Radford et al. 2019)."""

import unicodedata
from collections.abc import Iterable

import torch
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from components.config.settings import TextSettings

PAD, MASK = 0, 1  # ids of the special tokens, in the order in which they are trained
SPECIAL = ("<pad>", "<mask>")


def train_tokenizer(texts: Iterable[str], settings: TextSettings) -> Tokenizer:
    """Learn a vocabulary from `texts`; any text in any language can be encoded with it."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=settings.vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(map(normalise, texts), trainer)
    return tokenizer


def normalise(text: str) -> str:
    """Unicode NFC."""
    return unicodedata.normalize("NFC", text)


class TextProcessor:
    """Encodes texts with a trained tokenizer."""

    def __init__(self, settings: TextSettings, tokenizer: Tokenizer):
        self.max_tokens = settings.max_tokens
        self.tokenizer = tokenizer
        tokenizer.encode_special_tokens = True  # "<mask>" in a text is five letters and two signs

    def __call__(self, contents: list[bytes]) -> dict[str, torch.Tensor]:
        """Encode UTF-8 texts.

        Returns:
            `tokens`: int64 [N, max_tokens], padded with 0; `lengths`: int64 [N], at least 1.
        """
        texts = [normalise(content.decode()) for content in contents]
        tokens = torch.full((len(texts), self.max_tokens), PAD)  # [N, L]
        lengths = torch.ones(len(texts), dtype=torch.int64)
        for row, encoding in enumerate(self.tokenizer.encode_batch_fast(texts)):
            ids = encoding.ids[: self.max_tokens]
            tokens[row, : len(ids)] = torch.tensor(ids, dtype=torch.int64)
            lengths[row] = max(1, len(ids))
        return {"tokens": tokens, "lengths": lengths}
