"""Plain features beside the encoders that are built here."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from components.layers.plain import PlainBag
from components.modalities.audio.encoders import plain as audio
from components.modalities.image.encoders import plain as image
from components.modalities.image.plain_features import measurements
from components.modalities.registry import encoders_of, modality
from components.modalities.text.encoders import plain as text
from components.train.settings import TrainStageSettings
from tests.support.params import small_settings
from tests.support.tiny_model import make_inputs

WITH_PLAIN = ("image", "audio", "text")
COUNT = 6


def test_images_have_the_features_of_the_baseline():
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), np.uint8)
    found = image.describe(torch.from_numpy(pixels).permute(0, 3, 1, 2)).numpy()
    colours, expected = 3 * 64, measurements(list(pixels))
    by_block = expected[:, :colours].reshape(COUNT, 64, 3).transpose(0, 2, 1)
    assert np.allclose(found[:, :colours], by_block.reshape(COUNT, -1), atol=1e-5)
    by_cell = expected[:, colours:].reshape(COUNT, 64, 9).transpose(0, 2, 1)
    # An orientation between two bins may be in either.
    assert np.isclose(found[:, colours:], by_cell.reshape(COUNT, -1), atol=1e-4).mean() > 0.99


def test_sounds_have_statistics_of_their_frames():
    """Whatever the padding."""
    mels = torch.randn(1, 4, 20)
    found = audio.describe(mels, torch.tensor([16]))
    padded = torch.cat([mels[..., :16], torch.full((1, 4, 9), 7.0)], 2)
    torch.testing.assert_close(audio.describe(padded, torch.tensor([16])), found)
    clip = mels[0, :, :16]
    length, mean, deviation, change, parts = found[0].split([1, 4, 4, 4, 32])
    assert found.shape[1] == audio.width(4)
    torch.testing.assert_close(length.exp(), torch.tensor([16.0]))
    torch.testing.assert_close(mean, clip.mean(1))
    torch.testing.assert_close(deviation, clip.std(1, unbiased=False), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(change, clip.diff(dim=1).abs().sum(1) / 16)
    torch.testing.assert_close(parts.view(4, 8), clip.view(4, 8, 2).mean(2))


def test_sound_of_few_frames_has_features():
    assert audio.describe(torch.randn(2, 4, 12), torch.tensor([1, 3])).isfinite().all()


def test_texts_have_runs_of_their_tokens():
    tokens = torch.tensor([[5, 6, 7, 0], [7, 6, 5, 0], [5, 6, 0, 0]])
    buckets, there = text.describe(tokens, torch.tensor([3, 3, 2]))
    runs = [set(row[mask].tolist()) for row, mask in zip(buckets, there, strict=True)]
    assert [len(found) for found in runs] == [6, 6, 3]
    assert runs[2] < runs[0]
    assert len(runs[0] & runs[1]) == 3  # single tokens


def test_bag_is_the_sum_over_what_is_there():
    bag = PlainBag(10, 4).eval()
    found = bag(torch.tensor([[1, 2, 3, 4]]), torch.tensor([[True, True, True, False]]))
    expected = bag.vectors.weight[1:4].sum(0) / 3**0.5
    torch.testing.assert_close(found[0], expected)


@pytest.mark.parametrize("m", WITH_PLAIN)
def test_plain_features_change_the_pooled_ones_only(m):
    settings = small_settings(TrainStageSettings, {f"features.{m}.plain": True})
    torch.manual_seed(0)
    encoder = encoders_of(m).build(settings.preprocess[m], settings.features[m], None).eval()
    inputs = make_inputs(COUNT)[m]
    found = encoder(**inputs)
    alone = encoder(**{name: value[2:3] for name, value in inputs.items()})
    torch.testing.assert_close(alone.pooled, found.pooled[2:3])
    encoder.plain = None
    without = encoder(**inputs)
    assert torch.equal(found.tokens, without.tokens)
    assert not torch.allclose(found.pooled, without.pooled)


@pytest.mark.parametrize("m", WITH_PLAIN)
def test_other_encoders_have_no_plain_features(m):
    with pytest.raises(ValidationError, match="Set plain to false"):
        modality(m).encoder(encoder="other", plain=True)
