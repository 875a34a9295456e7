"""A text, written token by token: softmax and cross-entropy a token."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from components.data.assets import MISSING
from components.model.settings import ModelSettings
from components.tasks.generation.decoder import Draft, Writer
from components.tasks.generation.decoding import chooser
from components.tasks.generation.labels import END, TextLabels
from components.tasks.task import Answers, Kind


class Generation(TextLabels, Kind):
    """Targets are int32 [B, R, L]: the tokens of each of R right texts, and the end of it.

    They are cut at L, `max_tokens`, and filled up with -1, as are texts that a sample lacks.
    """

    ANSWER, CONFIDENCE = str, float
    QUALITY = "token_accuracy"
    UNKNOWN = MISSING
    WRITES = True
    NAMED = ("embedding.weight",)

    @cached_property
    def names(self) -> list[str]:
        """See `Kind`: the tokens that there are."""
        places = self.tokenizer.get_vocab()
        return sorted(places, key=places.get)

    def head(self, options: ModelSettings) -> Writer:
        """See `Kind`."""
        return Writer(self.outputs, self.max_tokens, options)

    def targets(self, labels: pd.Series) -> Tensor:
        """See `Kind`."""
        known = labels.notna()
        texts = [list(label) if there else [] for label, there in zip(labels, known, strict=True)]
        size = (len(texts), max(1, *map(len, texts), 1), self.max_tokens)
        targets = np.full(size, MISSING, np.int32)
        for row, given in enumerate(texts):
            for place, encoding in enumerate(self.tokenizer.encode_batch_fast(given)):
                tokens = [*encoding.ids, END][: self.max_tokens]
                targets[row, place, : len(tokens)] = tokens
        return torch.from_numpy(targets)

    @staticmethod
    def loss(draft: Draft, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """See `Kind`: cross-entropy, the mean over the tokens of a sample's right texts."""
        said = _forced(draft, targets)
        how = {"reduction": "none", "label_smoothing": smoothing}
        losses = F.cross_entropy(said.logits, said.tokens, **how)  # [n]
        tokens = said.samples.bincount(minlength=len(draft))  # of each sample
        return (losses / tokens[said.samples]).sum() / (tokens > 0).sum().clamp(min=1)

    @staticmethod
    def quality(draft: Draft, targets: Tensor) -> float:
        """See `Kind`: the share of all tokens that are right, each after the right ones."""
        said = _forced(draft, targets)
        return float((said.logits.argmax(1) == said.tokens).float().mean())

    @staticmethod
    def average(draft: Draft, votes: Tensor) -> Draft:
        """See `Kind`; texts have no mean, so that one is written about what all of them read."""
        mask = draft.mask & votes[..., None]  # [B, M, S]
        return Draft(draft.writer, draft.tokens.flatten(1, 2), mask.flatten(1, 2))

    def predict(self, draft: Draft) -> Answers:
        """See `Kind`: a text, and the geometric mean of its tokens' probabilities."""
        written = chooser(self.decoding)(draft, self.max_tokens)
        rows = [[token for token in row if token != END] for row in written.tokens.tolist()]
        texts = [" ".join(text.split()) for text in self.tokenizer.decode_batch(rows)]
        return Answers(texts, written.confidence.double().clamp(max=1.0).tolist())

    def record(self, draft: Draft) -> Answers:
        """See `Kind`: a text is written as it is; only labels are lists."""
        return self.predict(draft)

    @classmethod
    def known(cls, targets: Tensor) -> Tensor:
        """See `Kind`."""
        return targets[:, 0, 0] != MISSING


@dataclass(frozen=True)
class Forced:
    """All n tokens of right texts, each with what the model says after those before it.

    Attributes:
        logits: [n, V].
        tokens: int64 [n].
        samples: int64 [n], which sample's they are.
    """

    logits: Tensor
    tokens: Tensor
    samples: Tensor


def _forced(draft: Draft, targets: Tensor) -> Forced:
    """What the model says of B drafts' right texts, [B, R, L]."""
    samples, places = (targets[..., 0] != MISSING).nonzero(as_tuple=True)  # [N] texts
    texts = targets[samples, places].long()  # [N, L]
    there = texts != MISSING
    longest = int(there.sum(1).max()) if len(texts) else 1
    texts, there = texts[:, :longest], there[:, :longest]
    logits = draft[samples].logits(texts.clamp(min=END))  # [N, longest, V]
    return Forced(logits[there], texts[there], samples[:, None].expand_as(texts)[there])
