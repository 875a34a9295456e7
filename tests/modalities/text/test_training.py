"""Self-supervised losses and augmentation of texts."""

import pytest
import torch

from components.features.settings import settings_for
from components.modalities.text.encoders import build
from components.modalities.text.modality import TextAugmentationSettings
from components.modalities.text.processing import MASK, PAD
from components.modalities.text.training import augment, pretext, self_supervised
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


def augmented(batch, **options) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return augment(batch, TextAugmentationSettings(**options))


def numbered(lengths: list[int], size: int = 40) -> dict[str, torch.Tensor]:
    """Return texts whose tokens count up from 10."""
    lengths = torch.tensor(lengths)
    place = torch.arange(size)
    return {"tokens": (place + 10) * (place < lengths[:, None]), "lengths": lengths}


def test_dropped_tokens_close_the_gap():
    batch = numbered([40, 20, 2, 1] * 16)
    changed = augmented(batch, dropping=0.25)
    for row, length, before in zip(
        changed["tokens"].tolist(),
        changed["lengths"].tolist(),
        batch["lengths"].tolist(),
        strict=True,
    ):
        text = row[:length]
        assert text == sorted(set(text)) and text[0] == 10 and text[-1] == 9 + before
        assert set(row[length:]) <= {PAD}
    kept = changed["lengths"].sum() / batch["lengths"].sum()
    assert 0.7 < kept < 0.85


def test_masked_tokens_keep_their_place():
    batch = numbered([40] * 16)
    changed = augmented(batch, masking=0.25)
    masked = changed["tokens"] == MASK
    assert changed["lengths"].equal(batch["lengths"])
    assert changed["tokens"][~masked].equal(batch["tokens"][~masked])
    assert 0.15 < masked.float().mean() < 0.35 and not masked[:, [0, -1]].any()
