"""Augmentation of sounds."""

import torch

from components.features.settings import settings_for
from components.modalities.audio.modality import AudioAugmentationSettings
from components.modalities.audio.training import SpectrogramAugmentation, blend, pretext
from tests.support.params import small_settings
from tests.support.tiny_model import make_inputs

SETTINGS = small_settings(settings_for("audio"))
INPUTS, OPTIONS = SETTINGS.preprocess.audio, SETTINGS.features.audio


def test_augmented_sound_keeps_form_and_padding():
    batch = make_inputs(16)["audio"]
    torch.manual_seed(0)
    changed = SpectrogramAugmentation(INPUTS, OPTIONS.augmentation)(batch)
    assert changed["mels"].shape == batch["mels"].shape
    assert (changed["lengths"] >= batch["lengths"]).all()
    assert (changed["lengths"] <= INPUTS.frames).all()
    for mels, length in zip(changed["mels"], changed["lengths"], strict=True):
        assert (mels[:, length:] == 0).all()
    assert not changed["mels"].equal(batch["mels"])
    torch.manual_seed(0)
    again = SpectrogramAugmentation(INPUTS, OPTIONS.augmentation)(batch)
    assert again["mels"].equal(changed["mels"])


def test_views_are_augmented_sounds():
    made = pretext(INPUTS, OPTIONS)
    assert isinstance(made.augment, SpectrogramAugmentation) and made.view is made.augment
    assert made.losses is None


def augmented(batch, **options) -> dict[str, torch.Tensor]:
    """Return a batch after the changes that `options` name, and no other."""
    still = {"delay": 0.0, "pitch": 0.0, "time_mask": 0.0, "frequency_mask": 0.0}
    torch.manual_seed(0)
    return SpectrogramAugmentation(INPUTS, AudioAugmentationSettings(**(still | options)))(batch)


def click(count: int, frame: int, length: int) -> dict[str, torch.Tensor]:
    """Return sounds with a peak at one frame."""
    mels = torch.zeros(count, INPUTS.n_mels, INPUTS.frames)
    mels[:, :, frame] = 1.0
    return {"mels": mels, "lengths": torch.full((count,), length)}


def test_no_change_is_wanted():
    batch = make_inputs(4)["audio"]
    changed = augmented(batch)
    assert changed["mels"].equal(batch["mels"]) and changed["lengths"].equal(batch["lengths"])


def test_speed_moves_peak_and_end():
    frame, length = INPUTS.frames // 4, INPUTS.frames // 2
    changed = augmented(click(64, frame, length), speed=0.2)
    place = changed["mels"][:, 0].argmax(1)
    assert place.min() < frame < place.max()
    assert (place >= frame / 1.2 - 1).all() and (place <= frame / 0.8 + 1).all()
    assert changed["lengths"].min() < length < changed["lengths"].max()
    for mels, end in zip(changed["mels"], changed["lengths"], strict=True):
        assert (mels[:, end:] == 0).all()


def test_noise_is_within_the_sound():
    length = INPUTS.frames // 2
    changed = augmented(click(64, 0, length), noise=0.5)
    deviation = changed["mels"][:, :, 1:length].std((1, 2))
    assert deviation.min() < 0.1 and 0.3 < deviation.max() < 0.6
    assert (changed["mels"][:, :, length:] == 0).all()


def test_more_masks_hide_more():
    sound = {"mels": torch.ones(64, INPUTS.n_mels, INPUTS.frames), "lengths": torch.full((64,), 9)}
    hidden = [
        (augmented(sound, time_mask=0.2, masks=n)["mels"] == 0).float().mean() for n in (1, 3)
    ]
    assert 0 < hidden[0] < hidden[1]


def test_blend_is_heard_to_the_end_of_the_longer():
    first, second = click(2, 1, 5), click(2, 2, 9)
    found = blend(first, second, 0.75)
    assert found["mels"][0, 0, 1:3].tolist() == [0.75, 0.25]
    assert found["lengths"].tolist() == [9, 9]


def test_pretrained_model_hears_what_was_recorded():
    options = OPTIONS.model_copy(update={"encoder": "package:some/model"})
    made = pretext(INPUTS, options)
    batch = make_inputs(2)["audio"]
    assert made.augment(batch) is batch
