"""Missing cells as augmentation."""

import pytest
import torch

from components.modalities.encoding import pretext_of
from components.modalities.tabular.modality import TabularEncoderSettings, TabularSettings
from components.modalities.tabular.training import drop_cells

SHAPE = 200, 5, 4


def test_dropped_cell_keeps_its_column_alone():
    torch.manual_seed(0)
    batch = {"entries": torch.zeros(SHAPE, dtype=torch.int64), "weights": torch.ones(SHAPE)}
    changed = drop_cells(batch, rate=0.25)
    assert changed["entries"] is batch["entries"]
    weights = changed["weights"]
    assert (weights[..., 0] == 1).all() and (batch["weights"] == 1).all()
    assert (weights[..., 1:] == weights[..., 1:2]).all()  # of a cell all or nothing
    assert (weights[..., 1] == 0).float().mean().item() == pytest.approx(0.25, abs=0.05)


def test_views_of_same_rows_differ():
    torch.manual_seed(0)
    pretext = pretext_of("tabular", TabularSettings(), TabularEncoderSettings())
    batch = {"entries": torch.zeros(SHAPE, dtype=torch.int64), "weights": torch.ones(SHAPE)}
    assert not pretext.view(batch)["weights"].equal(pretext.view(batch)["weights"])
