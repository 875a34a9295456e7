"""Head of text generation: softmax and cross-entropy per token."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from components.common.metrics import Metric
from components.data.assets import MISSING
from components.layers.transformer_shape import TransformerShape
from components.tasks.generation.decoder import DecoderInput, TextDecoder
from components.tasks.generation.decoding import decoder_of
from components.tasks.generation.labels import END, TextLabels
from components.tasks.task import Predictions, Task


class Generation(TextLabels, Task):
    """Targets are int32 [B, R, L]: the tokens of each of R right texts, with its end.

    They are cut at L, `max_tokens`, and padded with -1, as are texts that a sample lacks.
    """

    VALUE, CONFIDENCE = str, float
    VALIDATION = Metric("token_accuracy")
    UNKNOWN = MISSING
    IS_GENERATIVE = True
    OUTPUT_TENSORS = ("embedding.weight",)

    @cached_property
    def output_names(self) -> list[str]:
        ids = self.tokenizer.get_vocab()
        return sorted(ids, key=lambda token: ids[token])

    def head(self, shape: TransformerShape) -> TextDecoder:
        return TextDecoder(self.outputs, self.max_tokens, shape)

    def targets(self, labels: pd.Series) -> Tensor:
        known = labels.notna()
        texts = [list(label) if there else [] for label, there in zip(labels, known, strict=True)]
        size = (len(texts), max([1, *map(len, texts)]), self.max_tokens)
        targets = np.full(size, MISSING, np.int32)
        for row, references in enumerate(texts):
            for place, encoding in enumerate(self.tokenizer.encode_batch_fast(references)):
                tokens = [*encoding.ids, END][: self.max_tokens]
                targets[row, place, : len(tokens)] = tokens
        return torch.from_numpy(targets)

    @staticmethod
    def loss(logits: DecoderInput, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Return the cross-entropy, of a sample the mean over the tokens of its right texts."""
        forced = teacher_forcing(logits, targets)
        losses = F.cross_entropy(
            forced.logits, forced.tokens, reduction="none", label_smoothing=smoothing
        )  # [n]
        tokens = forced.samples.bincount(minlength=len(logits))  # per sample
        return (losses / tokens[forced.samples]).sum() / (tokens > 0).sum().clamp(min=1)

    @staticmethod
    def validate(logits: DecoderInput, targets: Tensor) -> float:
        """Return the fraction of the tokens that are right, each after the right ones."""
        forced = teacher_forcing(logits, targets)
        return float((forced.logits.argmax(1) == forced.tokens).float().mean())

    @staticmethod
    def average(logits: DecoderInput, votes: Tensor) -> DecoderInput:
        """Texts have no mean, so one is written about what all votes have read."""
        mask = logits.mask & votes[..., None]  # [B, M, S]
        return DecoderInput(logits.decoder, logits.tokens.flatten(1, 2), mask.flatten(1, 2))

    def predict(self, logits: DecoderInput) -> Predictions:
        texts = decoder_of(self.decoding)(logits, self.max_tokens)
        rows = [[token for token in row if token != END] for row in texts.tokens.tolist()]
        values = [" ".join(text.split()) for text in self.tokenizer.decode_batch(rows)]
        return Predictions(values, texts.confidence.double().clamp(max=1.0).tolist())

    @classmethod
    def known(cls, targets: Tensor) -> Tensor:
        return targets[:, 0, 0] != MISSING


@dataclass(frozen=True)
class TeacherForcing:
    """All n tokens of right texts, each with its logits given the right tokens before it."""

    logits: Tensor  # [n, V]
    tokens: Tensor  # int64 [n]
    samples: Tensor  # int64 [n], to which sample they belong


def teacher_forcing(texts: DecoderInput, targets: Tensor) -> TeacherForcing:
    """Return logits and tokens of the right texts, [B, R, L], of B samples."""
    samples, places = (targets[..., 0] != MISSING).nonzero(as_tuple=True)  # [N] texts
    right = targets[samples, places].long()  # [N, L]
    there = right != MISSING
    longest = int(there.sum(1).max()) if len(right) else 1
    right, there = right[:, :longest], there[:, :longest]
    logits = texts[samples].teacher_forced_logits(right.clamp(min=END))  # [N, longest, V]
    return TeacherForcing(logits[there], right[there], samples[:, None].expand_as(right)[there])


TASK = Generation
