"""Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019): tokens for any text."""

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer


def byte_level(model: BPE) -> Tokenizer:
    """A tokenizer over the bytes of texts."""
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
    tokenizer.decoder = ByteLevelDecoder()
    return tokenizer


def train_bpe(texts: Iterable[str], size: int, special: Sequence[str]) -> Tokenizer:
    """Learn `size` tokens from `texts`, the special ones, which come first, among them."""
    tokenizer = byte_level(BPE())
    trainer = BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
