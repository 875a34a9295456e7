"""Self-supervised losses of texts."""

import pytest
import torch

from components.features.settings import settings_for
from components.modalities.text.encoders import build
from components.modalities.text.training import pretext, self_supervised
from tests.support.params import small_settings
from tests.support.tiny_model import make_inputs

SETTINGS = small_settings(settings_for("text"))


@pytest.mark.parametrize("lengths", ["full", "one token each"])
def test_losses_and_gradients_are_finite(lengths):
    torch.manual_seed(0)
    encoder = build(SETTINGS.preprocess.text, SETTINGS.features.text, None)
    batch = make_inputs(6)["text"]
    if lengths != "full":
        batch = {"tokens": batch["tokens"], "lengths": torch.ones(6, dtype=torch.int64)}
    for _ in range(5):  # now and then no token at all is masked
        losses = self_supervised(encoder, batch)
        sum(losses.values()).backward()
        assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in encoder.parameters() if p.grad is not None)


def test_pretext_has_losses_only():
    made = pretext(SETTINGS.preprocess.text, SETTINGS.features.text)
    batch = make_inputs(2)["text"]
    assert made.losses is self_supervised and made.view is None
    assert made.augment(batch) is batch
