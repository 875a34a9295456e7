"""Contracts of a modality's encoders and of their training, which need torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor
from torch.distributions import Beta

from components.common.metrics import Metric
from components.common.plugins import has_part, load_part
from components.data.assets import AssetTensors
from components.huggingface.description import Description
from components.huggingface.models import EncoderInterface
from components.layers.features import Encoder
from components.modalities.settings import EncoderSettings, InputSettings

Batch = dict[str, Tensor]  # inputs of an encoder, one row per asset
Change = Callable[[Batch], Batch]
PretextLosses = Callable[[Any, Batch], dict[str, Tensor]]  # of an encoder and a batch, by name


class Encoders(Protocol):
    """Part `encoders`."""

    INTERFACE: EncoderInterface

    def build(self, inputs: Any, options: Any, description: Description | None) -> Encoder:
        """Return the encoder that settings name, with fresh weights.

        They are the sections `preprocess.<modality>` and `features.<modality>`; the description is
        None for an encoder that is built here.
        """
        ...


@dataclass(frozen=True)
class Mixup:
    """Blends each asset of a batch with another one (Zhang et al. 2018).

    Their labels are blended in the same way. The share of the first one is drawn from
    Beta(alpha, alpha), once per batch.
    """

    alpha: float
    blend: Callable[[Batch, Batch, float], Batch]  # with the share of the first batch

    def __call__(self, batch: Batch) -> tuple[Batch, Tensor, float]:
        """Return blended assets, who was blended with whom, int64 [B], and the share."""
        order = torch.randperm(len(next(iter(batch.values()))))
        share = Beta(self.alpha, self.alpha).sample().item()
        others = {name: value[order] for name, value in batch.items()}
        return self.blend(batch, others, share), order, share


@dataclass(frozen=True)
class Pretext:
    """What trains an encoder besides its tasks.

    A `view` changes every asset at random without changing its meaning: two views are trained to
    agree (SimCLR) where no label trains the encoder.
    """

    augment: Change = lambda batch: batch  # of a training batch; leaves its labels right
    mixup: Mixup | None = None  # of augmented assets
    view: Change | None = None
    losses: PretextLosses | None = None  # self-supervised, of every batch


@dataclass(frozen=True)
class Objective:
    """A target per asset, and how a linear head over the pooled features learns it.

    `loss` is the mean over logits [B, outputs] and targets [B, …] with a label smoothing; 0 if no
    target is known.
    """

    targets: Tensor  # [N, …], of each asset of the modality
    outputs: int  # of the head
    weight: float  # of the loss
    loss: Callable[[Tensor, Tensor, float], Tensor]
    known: Callable[[Tensor], Tensor]  # targets [B, …] → bool [B]
    metric: Metric  # what `validate` returns
    validate: Callable[[Tensor, Tensor], float]  # of logits and targets, all known
    # Classes that batches draw equally often, bool [N, classes]; see `draw_evenly`.
    sampled: Tensor | None = None


class EncoderTrainingPart(Protocol):
    """Part `training`."""

    def pretext(self, inputs: Any, options: Any) -> Pretext:
        """Return what trains an encoder besides its tasks, given settings as of `Encoders`."""
        ...


class Transcripts(Protocol):
    """Part `transcripts`."""

    def transcript_objectives(
        self, options: Any, assets: AssetTensors, samples: pd.DataFrame, texts: Path
    ) -> Mapping[str, Objective]:
        """Return objectives by name that teach what assets say, if settings want them.

        `options` is the section `features.<modality>`, `texts` a media shard set.
        """
        ...


def pretext_of(modality: str, inputs: InputSettings, options: EncoderSettings) -> Pretext:
    """Return what trains an encoder besides its tasks: nothing without a part `training`."""
    if not has_part("components.modalities", modality, "training"):
        return Pretext()
    return load_part("components.modalities", modality, "training").pretext(inputs, options)
