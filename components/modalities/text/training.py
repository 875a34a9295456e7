"""Training of text encoders: masked language modelling and SimCSE."""

from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from components.layers.features import length_mask
from components.modalities.encoding import Batch, Pretext
from components.modalities.text.modality import (
    MASKED_TOKENS,
    MODALITY,
    SAME_TEXT,
    TextAugmentationSettings,
    TextEncoderSettings,
    TextSettings,
)
from components.modalities.text.processing import MASK, PAD

MASKED_FRACTION = 0.15  # of the tokens, as in BERT
INVERSE_TEMPERATURE = 20.0  # as in SimCSE


def pretext(inputs: TextSettings, options: TextEncoderSettings) -> Pretext:
    """See `EncoderTrainingPart`."""
    if options.encoder not in MODALITY.encoder_names.built_in:
        return Pretext()  # it has inputs of its own
    wanted = options.augmentation
    if not wanted.masking and not wanted.dropping:
        return Pretext(losses=self_supervised)
    return Pretext(augment=partial(augment, options=wanted), losses=self_supervised)


def augment(batch: Batch, options: TextAugmentationSettings) -> Batch:
    """Mask some tokens and leave out others, but neither the first nor the last of a text.

    `tokens` int64 [B, T] and `lengths` [B] → the same.
    """
    tokens, lengths = batch["tokens"], batch["lengths"]
    place = torch.arange(tokens.shape[1])
    inner = (place > 0) & (place < lengths[:, None] - 1)  # [B, T]
    masked = (torch.rand(tokens.shape) < options.masking) & inner
    dropped = (torch.rand(tokens.shape) < options.dropping) & inner
    kept_first = dropped.long().argsort(dim=1, stable=True)  # [B, T]
    tokens = tokens.masked_fill(masked, MASK).gather(1, kept_first)
    lengths = lengths - dropped.sum(1)
    return {"tokens": tokens.masked_fill(place >= lengths[:, None], PAD), "lengths": lengths}


def self_supervised(encoder: Any, batch: Batch) -> dict[str, Tensor]:
    """Return two losses that need no label: one for the tokens, one for the pooled features.

    Masked language modelling (Devlin et al. 2019), scored with the token embedding, and SimCSE
    (Gao et al. 2021): the same text twice, with two dropout masks and once with masked tokens,
    against the other texts. Without the second, the pooled features of texts that differ in one
    word are nearly the same.
    """
    tokens, lengths = batch["tokens"], batch["lengths"]
    in_text = length_mask(lengths, tokens.shape[1])
    chosen = (torch.rand(tokens.shape) < MASKED_FRACTION) & in_text  # [B, T]
    masked = encoder(tokens.masked_fill(chosen, MASK), lengths)
    logits = masked.tokens[chosen] @ encoder.embedding.weight.T  # [n, V]
    whole = encoder(tokens, lengths)
    similarity = F.normalize(whole.pooled, dim=-1) @ F.normalize(masked.pooled, dim=-1).T  # [B, B]
    same = torch.arange(len(tokens))
    return {
        MASKED_TOKENS: F.cross_entropy(logits, tokens[chosen]).nan_to_num(),
        SAME_TEXT: F.cross_entropy(INVERSE_TEMPERATURE * similarity, same),
    }
