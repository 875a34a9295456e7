"""Encoders of sound: tokens, padding and pooling."""

import pytest
import torch

from components.features.settings import FeaturesSettings, settings_for
from components.layers.features import Encoder, length_mask
from components.modalities.audio.encoders import build
from components.modalities.audio.encoders.convolutional import ConvolutionalAudioEncoder
from components.modalities.audio.encoders.pooling import MeanMaxPooling
from tests.support.params import small_settings
from tests.support.tiny_model import make_inputs

INPUTS = make_inputs(5)["audio"]


def settings(encoder: str, layers: int = 1, pooling: str = "mean", **changes) -> FeaturesSettings:
    changes = {f"preprocess.audio.{key}": value for key, value in changes.items()}
    options = {"encoder": encoder, "layers": layers, "pooling": pooling}
    changes |= {f"features.audio.{key}": value for key, value in options.items()}
    return small_settings(settings_for("audio"), changes)


def build_encoder(settings: FeaturesSettings) -> Encoder:
    torch.manual_seed(0)
    return build(settings.preprocess.audio, settings.features.audio, None).eval()


PATCHES = settings("patches", n_mels=40)


@pytest.fixture(scope="module")
def convolutional():
    return build_encoder(settings("convolutional"))


@pytest.fixture(scope="module")
def patches():
    return build_encoder(PATCHES)


def sounds(lengths: list[int]) -> dict[str, torch.Tensor]:
    """Return random spectrograms of so many frames for the encoder over patches."""
    inputs, frames = PATCHES.preprocess.audio, torch.tensor(lengths)
    mels = torch.randn(len(lengths), inputs.n_mels, inputs.frames)
    padding = ~length_mask(frames, inputs.frames)[:, None]
    return {"mels": mels.masked_fill(padding, 0.0), "lengths": frames}


def beyond(inputs: dict[str, torch.Tensor], frames: int) -> dict[str, torch.Tensor]:
    """Return the inputs with other values from `frames` after the end of each sound on."""
    mels = inputs["mels"]
    after = torch.arange(mels.shape[2]) >= inputs["lengths"][:, None] + frames
    assert after.any()
    return inputs | {"mels": mels.masked_fill(after[:, None], 9.0)}


def test_token_per_8_frames_and_pooled_mean(convolutional):
    features = convolutional(**INPUTS)
    assert features.tokens.shape[1] == -(-INPUTS["mels"].shape[2] // 8)
    assert features.mask.sum(1).tolist() == [-(-n // 8) for n in INPUTS["lengths"].tolist()]
    for tokens, mask, pooled in zip(features.tokens, features.mask, features.pooled, strict=True):
        torch.testing.assert_close(pooled, tokens[mask].mean(0))


def test_frames_beyond_receptive_field_change_no_bit(convolutional):
    """Three convolutions of 5, each with stride 2, reach 14 frames around a token."""
    one, other = convolutional(**INPUTS), convolutional(**beyond(INPUTS, 15))
    assert one.pooled.equal(other.pooled)
    assert one.tokens[one.mask].equal(other.tokens[one.mask])


@torch.no_grad()
def test_without_layers_a_token_is_what_convolutions_see():
    """No position is added: the middle of a sound of one value is alike everywhere."""
    encoder = build_encoder(settings("convolutional", layers=0, max_seconds=2.0))
    assert isinstance(encoder, ConvolutionalAudioEncoder) and encoder.transformer is None
    features = encoder(torch.ones_like(INPUTS["mels"]), INPUTS["lengths"])
    inner = features.tokens[0, 2:-2]
    assert len(inner) > 1
    torch.testing.assert_close(inner, inner[:1].expand_as(inner))


@pytest.mark.parametrize("encoder", ["convolutional", "patches"])
@torch.no_grad()
def test_mean_max_pooling_maps_mean_and_maximum(encoder):
    built = build_encoder(settings(encoder, pooling="mean_max"))
    assert isinstance(built.pool, MeanMaxPooling)
    features = built(**INPUTS)
    for tokens, mask, pooled in zip(features.tokens, features.mask, features.pooled, strict=True):
        heard = tokens[mask]
        both = torch.cat([heard.mean(0), heard.amax(0)])
        torch.testing.assert_close(pooled, built.pool.out(both))


@torch.no_grad()
def test_overlapping_patches_cover_sound_to_its_end(patches):
    """16 × 16 every 10 frames and bands: 40 bands take 4, and 17 frames 2."""
    frames = PATCHES.preprocess.audio.frames
    features = patches(**sounds([1, 16, 17, frames]))
    most = -(-(frames - 16) // 10) + 1
    assert features.mask.sum(1).tolist() == [4, 4, 8, 4 * most]
    assert features.tokens.shape[1] == 4 * most
    for row, mask in enumerate(features.mask):
        torch.testing.assert_close(features.pooled[row], features.tokens[row][mask].mean(0))


@torch.no_grad()
def test_frames_beyond_last_patch_change_no_bit(patches):
    inputs = sounds([5, 30])
    assert patches(**inputs).pooled.equal(patches(**beyond(inputs, 15)).pooled)


@pytest.mark.parametrize(("n_mels", "seconds"), [(8, 0.1), (16, 0.5), (64, 3.0)])
def test_patches_take_spectrograms_of_any_size(n_mels, seconds):
    sizes = settings("patches", n_mels=n_mels, max_seconds=seconds)
    frames = sizes.preprocess.audio.frames
    features = build_encoder(sizes)(torch.randn(2, n_mels, frames), torch.tensor([1, frames]))
    assert features.mask.any(1).all() and features.mask[1].all()
