"""Augmentation of sounds."""

import torch

from components.features.settings import settings_for
from components.modalities.audio.training import SpecAugment, pretext
from tests.support.params import small_settings
from tests.support.tiny_model import make_inputs

SETTINGS = small_settings(settings_for("audio"))
INPUTS = SETTINGS.preprocess.audio


def test_augmented_sound_keeps_form_and_padding():
    batch = make_inputs(16)["audio"]
    torch.manual_seed(0)
    changed = SpecAugment(INPUTS.n_mels, INPUTS.frames)(batch)
    assert changed["mels"].shape == batch["mels"].shape
    assert (changed["lengths"] >= batch["lengths"]).all()
    assert (changed["lengths"] <= INPUTS.frames).all()
    for mels, length in zip(changed["mels"], changed["lengths"], strict=True):
        assert (mels[:, length:] == 0).all()
    assert not changed["mels"].equal(batch["mels"])
    torch.manual_seed(0)
    again = SpecAugment(INPUTS.n_mels, INPUTS.frames)(batch)
    assert again["mels"].equal(changed["mels"])


def test_views_are_augmented_sounds():
    made = pretext(INPUTS, SETTINGS.features.audio)
    assert isinstance(made.augment, SpecAugment) and made.view is made.augment
    assert made.losses is None
