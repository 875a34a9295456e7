"""Every encoder gives features of one form, which padding and neighbours do not change."""

import pytest
import torch
from components.modalities.registry import MODALITIES

from components.huggingface.locate import BUILT_HERE
from components.layers.features import length_mask, masked_mean
from components.modalities.audio.encoders import build as audio
from components.modalities.encoders import build_encoder
from components.modalities.image.encoders import build as image
from components.modalities.text.encoders import build as text
from tests.model.worlds import make_inputs
from tests.shrunk import small_settings

SETTINGS = small_settings()
PATCHES = small_settings({"features.audio.encoder": "patches", "preprocess.audio.mels": 40})
COUNT = 5
TOKENS = {"image": 4, "text": 16, "audio": -(-SETTINGS.preprocess.audio.frames // 8)}


@pytest.fixture(scope="module")
def encoders():
    torch.manual_seed(0)
    built = {m: build_encoder(m, SETTINGS.preprocess, SETTINGS.features) for m in MODALITIES}
    return {m: encoder.eval() for m, encoder in built.items()}


@pytest.mark.parametrize("modality", MODALITIES)
def test_shapes_and_masks(encoders, modality):
    inputs = make_inputs(COUNT)[modality]
    features = encoders[modality](**inputs)
    width = getattr(SETTINGS.features, modality).width
    assert encoders[modality].width == width
    assert features.tokens.shape == (COUNT, TOKENS[modality], width)
    assert features.mask.shape == (COUNT, TOKENS[modality])
    assert features.pooled.shape == (COUNT, width)
    assert features.mask.dtype == torch.bool
    lengths = inputs.get("lengths")
    expected = {
        "image": [4] * COUNT,
        "text": lengths.tolist() if lengths is not None else None,
        "audio": [-(-n // 8) for n in lengths.tolist()] if lengths is not None else None,
    }
    assert features.mask.sum(1).tolist() == expected[modality]


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_pooled_features_are_of_the_tokens_that_are_there(encoders, modality):
    """The mean of a text's or a sound's, the largest of an image's."""
    features = encoders[modality](**make_inputs(COUNT)[modality])
    for n in range(COUNT):
        tokens = features.tokens[n][features.mask[n]]
        expected = tokens.amax(0) if modality == "image" else tokens.mean(0)
        torch.testing.assert_close(features.pooled[n], expected)


@pytest.mark.parametrize("modality", MODALITIES)
def test_neighbours_in_the_batch_change_nothing(encoders, modality):
    inputs = make_inputs(COUNT)[modality]
    together = encoders[modality](**inputs)
    for n in range(COUNT):
        alone = encoders[modality](**{name: value[n : n + 1] for name, value in inputs.items()})
        torch.testing.assert_close(alone.pooled[0], together.pooled[n], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(alone.tokens[0], together.tokens[n], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("modality", MODALITIES)
def test_an_asset_s_content_matters(encoders, modality):
    features = encoders[modality](**make_inputs(COUNT)[modality])
    assert len(features.pooled.unique(dim=0)) == COUNT


def test_what_stands_after_the_end_of_a_text_changes_no_bit(encoders):
    inputs = make_inputs(COUNT)["text"]
    after = ~length_mask(inputs["lengths"], inputs["tokens"].shape[1])
    changed = inputs | {"tokens": inputs["tokens"].masked_fill(after, 7)}
    one, other = encoders["text"](**inputs), encoders["text"](**changed)
    assert one.pooled.equal(other.pooled)
    assert one.tokens[one.mask].equal(other.tokens[one.mask])


def test_what_lies_beyond_the_reach_of_a_sound_s_last_token_changes_no_bit(encoders):
    """Three convolutions of 5, each with stride 2, reach 14 frames around a token."""
    inputs = make_inputs(COUNT)["audio"]
    beyond = torch.arange(inputs["mels"].shape[2]) >= inputs["lengths"][:, None] + 15
    assert beyond.any()
    changed = inputs | {"mels": inputs["mels"].masked_fill(beyond[:, None], 9.0)}
    one, other = encoders["audio"](**inputs), encoders["audio"](**changed)
    assert one.pooled.equal(other.pooled)
    assert one.tokens[one.mask].equal(other.tokens[one.mask])


def test_the_order_of_words_matters(encoders):
    tokens = torch.tensor([[5, 6, 7] + [0] * 13, [7, 6, 5] + [0] * 13])
    pooled = encoders["text"](tokens, torch.tensor([3, 3])).pooled
    assert not torch.allclose(pooled[0], pooled[1])


def test_an_encoder_is_built_the_same_from_the_same_seed():
    for modality in MODALITIES:
        states = []
        for _ in range(2):
            torch.manual_seed(3)
            encoder = build_encoder(modality, SETTINGS.preprocess, SETTINGS.features)
            states.append(encoder.state_dict())
        assert all(states[0][name].equal(states[1][name]) for name in states[0])


def test_the_mean_over_nothing_is_zero():
    tokens = torch.randn(2, 3, 4)
    mask = torch.tensor([[True, True, False], [False, False, False]])
    mean = masked_mean(tokens, mask)
    torch.testing.assert_close(mean[0], tokens[0, :2].mean(0))
    assert (mean[1] == 0).all()


@pytest.fixture(scope="module")
def patches():
    torch.manual_seed(0)
    return build_encoder("audio", PATCHES.preprocess, PATCHES.features).eval()


def sounds(lengths: list[int]) -> dict[str, torch.Tensor]:
    inputs, lengths = PATCHES.preprocess.audio, torch.tensor(lengths)
    mels = torch.randn(len(lengths), inputs.mels, inputs.frames)
    return {
        "mels": mels.masked_fill(~length_mask(lengths, inputs.frames)[:, None], 0.0),
        "lengths": lengths,
    }


@torch.no_grad()
def test_patches_overlap_and_cover_a_sound_to_its_end(patches):
    """16 × 16 every 10 frames and bands: 40 bands take 4, and 17 frames 2."""
    frames = PATCHES.preprocess.audio.frames
    features = patches(**sounds([1, 16, 17, frames]))
    most = -(-(frames - 16) // 10) + 1
    assert features.mask.sum(1).tolist() == [4, 4, 8, 4 * most]
    assert features.tokens.shape[1] == 4 * most
    for row, mask in enumerate(features.mask):
        torch.testing.assert_close(features.pooled[row], features.tokens[row][mask].mean(0))


@torch.no_grad()
def test_what_lies_beyond_a_sound_s_last_patch_changes_no_bit(patches):
    inputs = sounds([5, 30])
    beyond = torch.arange(inputs["mels"].shape[2]) >= inputs["lengths"][:, None] + 15
    changed = inputs | {"mels": inputs["mels"].masked_fill(beyond[:, None], 9.0)}
    assert patches(**inputs).pooled.equal(patches(**changed).pooled)


@pytest.mark.parametrize(("mels", "seconds"), [(8, 0.1), (16, 0.5), (64, 3.0)])
def test_patches_are_made_of_spectrograms_of_any_size(mels, seconds):
    changes = {"preprocess.audio.mels": mels, "preprocess.audio.max_seconds": seconds}
    settings = small_settings({"features.audio.encoder": "patches"} | changes)
    encoder = build_encoder("audio", settings.preprocess, settings.features)
    frames = settings.preprocess.audio.frames
    features = encoder(torch.randn(2, mels, frames), torch.tensor([1, frames]))
    assert features.mask.any(1).all() and features.mask[1].all()


def test_the_names_that_the_settings_know_are_those_that_are_built():
    built = {"image": image.BUILT_HERE, "text": text.BUILT_HERE, "audio": audio.BUILT_HERE}
    assert {m: tuple(names) for m, names in built.items()} == BUILT_HERE
