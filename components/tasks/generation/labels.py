"""Labels that are texts, and the tokens that they are written with."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from components.common.errors import Problem
from components.data.bpe import byte_level, train_bpe
from components.tasks.labels import Cell, LabelEncoder, Labels, Vocabulary, parse_text

END = 0  # id of the token that ends a text, and from which writing starts
END_TOKEN = "<end>"  # a text with these signs is spelt with others


@dataclass
class TextLabelEncoder(LabelEncoder):
    """Tokens: the bytes, and their most frequent combinations (Sennrich et al. 2016)."""

    words: Counter[str] = field(default_factory=Counter)
    text: str | None = None
    several: bool = False

    def add(self, label: Sequence[str]) -> None:
        for text in label:
            self.words.update(text.split())
            self.several |= self.text not in (None, text)
            self.text = text

    def finish(self) -> Vocabulary:
        if not self.several:
            found = "nothing" if self.text is None else f"one text, {self.text!r},"
            raise self._refuse(found, "at least 2 different texts are needed")
        tokenizer = train_bpe(self.words.elements(), self.task.vocab_size, [END_TOKEN])
        merges = json.loads(tokenizer.to_str())["model"]["merges"]
        return {
            "merges": [" ".join(pair) for pair in merges],
            "max_tokens": self.task.max_tokens,
            "decoding": self.task.decoding,
        }


@dataclass(frozen=True)
class TextLabels(Labels):
    """One or several texts, each of which is right; the model writes one."""

    TYPE = pa.list_(pa.string())
    Encoder = TextLabelEncoder
    SEVERAL_RIGHT = True
    COUNTED = False

    merges: Sequence[str]  # pairs of tokens that make up one, in the order of their training
    max_tokens: int  # of the longest text
    decoding: str  # how a text is chosen, as in params.yaml

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """From texts to tokens and back."""
        pairs = [(left, right) for left, right in (merge.split(" ") for merge in self.merges)]
        tokens = [END_TOKEN, *sorted(ByteLevel.alphabet()), *map("".join, pairs)]
        ids = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
        return byte_level(BPE(ids, pairs))

    @staticmethod
    def parse(value: Cell) -> tuple[str, ...] | Problem | None:
        """Return the texts of a cell that is one or a list of them, with single spaces."""
        if isinstance(value, str):
            value = _listed(value)
        items = value if isinstance(value, list | tuple) else (value,)
        found = [parse_text(item) for item in items]
        problem = next((item for item in found if isinstance(item, Problem)), None)
        texts = (text for text in found if isinstance(text, str))
        return problem or tuple(" ".join(text.split()) for text in texts) or None


def _listed(value: str) -> str | list[str]:
    """Return the texts of a cell that is a JSON list of strings, any other cell as it is."""
    if value.lstrip().startswith("["):
        try:
            found = json.loads(value)
        except ValueError:
            return value
        if all(isinstance(item, str) for item in found):
            return found
    return value


LABELS = TextLabels
