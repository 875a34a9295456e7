"""Texts that the model is to write, and the tokens that it writes them with."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat

import numpy as np
import pandas as pd
import pyarrow as pa
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from components.common.errors import Problem
from components.data.bpe import byte_level, train_bpe
from components.tasks.generation.text_metrics import Pair, bleu_4, cider, overlap, rouge_l, words
from components.tasks.label_parsing import word
from components.tasks.labels import Learner, PredictedLabels, Vocabulary

END = 0  # the token that a text ends with, and that writing starts from
SPECIAL = "<end>"  # how it is called; a text with these signs is spelt with others
MOST_WRONG = 0.5  # a ROUGE-L below it: less than half in common


@dataclass
class TextLearner(Learner):
    """Tokens: the bytes, and what they make up most often (Sennrich et al. 2016)."""

    words: Counter[str] = field(default_factory=Counter)
    text: str | None = None
    several: bool = False

    def add(self, label: Sequence[str]) -> None:
        """See `Learner`."""
        for text in label:
            self.words.update(text.split())
            self.several |= self.text not in (None, text)
            self.text = text

    def finish(self) -> Vocabulary:
        """See `Learner`."""
        if not self.several:
            found = "nothing" if self.text is None else f"one text, {self.text!r},"
            raise self._refuse(found, "at least 2 different texts are needed")
        tokenizer = train_bpe(self._stream(), self.task.vocabulary, [SPECIAL])
        merges = json.loads(tokenizer.to_str())["model"]["merges"]
        return {
            "merges": [" ".join(pair) for pair in merges],
            "max_tokens": self.task.max_tokens,
            "decoding": self.task.decoding,
        }

    def _stream(self) -> Iterator[str]:
        for text, count in self.words.items():
            yield from repeat(text, count)


@dataclass(frozen=True)
class TextLabels(PredictedLabels):
    """One text or several, each of which is right; the model writes one.

    Attributes:
        merges: the pairs of tokens that are one token, in the order in which they were learnt.
        max_tokens: of the longest text.
        decoding: how a text is chosen, as in params.yaml.
    """

    TYPE = pa.list_(pa.string())
    Learner = TextLearner
    COMPARED = "rouge_l"  # the one of them that is a mean over texts which no other text decides

    merges: Sequence[str]
    max_tokens: int
    decoding: str

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Texts to tokens and back."""
        pairs = [tuple(merge.split(" ")) for merge in self.merges]
        tokens = [SPECIAL, *sorted(ByteLevel.alphabet()), *map("".join, pairs)]
        places = {token: place for place, token in enumerate(dict.fromkeys(tokens))}
        return byte_level(BPE(places, pairs))

    @staticmethod
    def parse(value: str | float | Sequence[str] | None) -> tuple[str, ...] | Problem | None:
        """See `Labels`: a text, or a list of them; white space is one space."""
        if isinstance(value, str):
            value = _listed(value)
        items = value if isinstance(value, list | tuple) else (value,)
        found = [None if item is None else word(item) for item in items]
        problem = next((item for item in found if isinstance(item, Problem)), None)
        return problem or tuple(" ".join(text.split()) for text in found if text) or None

    def problem(self, label: Sequence[str]) -> Problem | None:
        """See `Labels`: any text can be written, byte by byte."""
        return None

    @staticmethod
    def written(label: Sequence[str]) -> str:
        """See `Labels`: a JSON list."""
        return json.dumps(list(label), ensure_ascii=False)

    def metrics(self, rows: pd.DataFrame) -> dict[str, float]:
        """BLEU-4, ROUGE-L and CIDEr-D.

        The first needs right texts of four words, the last other texts to know what is rare.
        """
        pairs = _pairs(rows)
        result = {}
        if any(len(words(text)) >= 4 for pair in pairs for text in pair.given):
            result["bleu_4"] = bleu_4(pairs)
        result["rouge_l"] = rouge_l(pairs)
        if len(pairs) > 1:
            result["cider"] = cider(pairs)
        return result

    def shares(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """See `Labels`."""
        return self.scores(rows).to_numpy(), np.ones(len(rows))

    def wrong(self, rows: pd.DataFrame) -> pd.Series:
        """See `Labels`: less than half in common with what is right."""
        return self.scores(rows) < MOST_WRONG

    def scores(self, rows: pd.DataFrame) -> pd.Series:
        """float, a value a row: the ROUGE-L of each prediction."""
        return pd.Series([overlap(pair).rouge for pair in _pairs(rows)], rows.index, "float64")


def _listed(value: str) -> str | list[str]:
    """A JSON list of texts in the cell of a table that has no lists; any other cell as it is."""
    if value.lstrip().startswith("["):
        try:
            found = json.loads(value)
        except ValueError:
            return value
        if all(isinstance(item, str) for item in found):
            return found
    return value


def _pairs(rows: pd.DataFrame) -> list[Pair]:
    given = [tuple(json.loads(target)) for target in rows["target"]]
    return [Pair(*pair) for pair in zip(rows["prediction"], given, strict=True)]
