"""Training of encoders of rows: missing cells as augmentation."""

from functools import partial

import torch

from components.modalities.encoding import Batch, Pretext
from components.modalities.settings import TransformerEncoderSettings
from components.modalities.tabular.modality import TabularSettings

AUGMENTED, VIEW = 0.1, 0.3  # of the cells, which are dropped


def pretext(inputs: TabularSettings, options: TransformerEncoderSettings) -> Pretext:
    """See `EncoderTrainingPart`."""
    return Pretext(augment=partial(drop_cells, rate=AUGMENTED), view=partial(drop_cells, rate=VIEW))


def drop_cells(batch: Batch, rate: float) -> Batch:
    """Make cells missing at random: of their entries only the column's is left."""
    weights = batch["weights"]  # [B, C, E]
    kept = torch.rand(weights.shape[:2]) >= rate  # [B, C]
    values = weights[..., 1:] * kept[..., None]
    return batch | {"weights": torch.cat([weights[..., :1], values], dim=-1)}
