"""Plain features beside the encoders that are built here."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from components.layers.features import Encoder, Features
from components.layers.plain import AT_ONCE, PLAIN, StandardisedExtractor
from components.modalities.audio.encoders import plain as audio
from components.modalities.image.encoders import plain as image
from components.modalities.image.plain_features import measurements
from components.modalities.registry import encoders_of, modality
from components.modalities.text.encoders.plain import PlainTextExtractor
from components.modalities.text.modality import BUCKETS, COUNTS, KINDS
from components.modalities.text.plain_features import CHARACTERS, MOST, WORDS, hashed
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


def test_texts_have_the_tf_idf_of_scikit_learn():
    """Where no two words and no two runs of characters share a bucket."""
    texts = ["it is ab", "is it cd", "ab, ab cd"]
    plain = PlainTextExtractor(mapped=4)
    counts = torch.from_numpy(hashed(texts))
    plain.fit(counts)
    found = plain({COUNTS: counts}).unflatten(1, (KINDS, BUCKETS))
    for kind, options in enumerate((WORDS, CHARACTERS)):
        vectorizer = TfidfVectorizer(**options)
        vectorizer.fit(texts)
        tally = CountVectorizer(**options, vocabulary=vectorizer.vocabulary_).transform(texts)
        expected = np.log1p(tally.toarray()) * vectorizer.idf_
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        assert np.allclose(_similarities(found[:, kind]), expected @ expected.T, atol=1e-5)
        assert np.allclose(found[:, kind].norm(dim=1), 1)


def _similarities(features: torch.Tensor) -> np.ndarray:
    return (features @ features.T).numpy()


def test_words_that_recur_often_are_counted_within_bounds():
    counts = hashed(["is " * 1000])
    assert {abs(int(counts.min())), abs(int(counts.max()))} == {MOST}


def test_few_of_many_words_share_a_bucket():
    """With 1,024 buckets a third of 400 words did, which cost 6 points of accuracy."""
    words = [f"word{number}" for number in range(400)]
    buckets = [np.flatnonzero(row[:BUCKETS])[0] for row in hashed(words)]
    assert len(set(buckets)) > 0.9 * len(words)


def test_text_without_words_has_features():
    assert PlainTextExtractor(mapped=4)({COUNTS: torch.from_numpy(hashed([" "]))}).equal(
        torch.zeros(1, KINDS * BUCKETS)
    )


def inputs_of(m: str) -> dict[str, torch.Tensor]:
    """Return random assets, with what plain features need."""
    inputs = make_inputs(COUNT)[m]
    counts = torch.randint(0, 2, (COUNT, KINDS * BUCKETS), dtype=torch.int8)
    return {**inputs, COUNTS: counts} if m == "text" else inputs


@pytest.mark.parametrize("m", WITH_PLAIN)
def test_plain_features_stand_beside_those_that_are_learnt(m):
    settings = small_settings(TrainStageSettings, {f"features.{m}.plain": True})
    torch.manual_seed(0)
    encoder = encoders_of(m).build(settings.preprocess[m], settings.features[m], None).eval()
    inputs = inputs_of(m)
    found = encoder.encode(inputs)
    assert found.plain.shape == (COUNT, encoder.plain.width)
    alone = encoder.encode({name: value[2:3] for name, value in inputs.items()})
    torch.testing.assert_close(alone.plain, found.plain[2:3])
    encoder.plain = None
    without = encoder.encode(make_inputs(COUNT)[m])
    assert found.tokens.equal(without.tokens) and found.pooled.equal(without.pooled)
    assert without.plain is None


@pytest.mark.parametrize("m", WITH_PLAIN)
def test_encoder_learns_to_use_plain_features(m):
    """Nothing of them is in the pooled ones before."""
    settings = small_settings(TrainStageSettings, {f"features.{m}.plain": True})
    encoder = encoders_of(m).build(settings.preprocess[m], settings.features[m], None).eval()
    inputs = inputs_of(m)
    before = encoder.encode(inputs).pooled
    torch.nn.init.normal_(encoder.plain.map.weight)
    assert not encoder.encode(inputs).pooled.allclose(before)


@pytest.mark.parametrize("m", WITH_PLAIN)
def test_plain_features_that_were_computed_are_those_of_a_batch(m, monkeypatch):
    monkeypatch.setattr("components.layers.plain.AT_ONCE", 4)
    settings = small_settings(TrainStageSettings, {f"features.{m}.plain": True})
    encoder = encoders_of(m).build(settings.preprocess[m], settings.features[m], None).eval()
    inputs = inputs_of(m)
    known = encoder.plain.add_to(inputs, fit_to=torch.arange(3))
    batch, again = ({n: value[1:3] for n, value in given.items()} for given in (inputs, known))
    expected = encoder.encode(batch)
    monkeypatch.delattr(type(encoder.plain), "describe")
    found = encoder.encode(again)
    assert found.plain.equal(expected.plain) and found.pooled.equal(expected.pooled)


def test_plain_features_of_changed_inputs_are_left_out():
    encoder = Encoder()
    encoder.plain = Numbers(4, mapped=2)
    inputs = {"numbers": torch.ones(2, 4), "others": torch.ones(2), PLAIN: torch.zeros(2, 4)}
    for same in ({}, {"numbers": torch.ones(2, 4)}, {"others": torch.zeros(2)}):
        assert PLAIN in encoder.changed(inputs, same)
    found = encoder.changed(inputs, {"numbers": torch.zeros(2, 4)})
    assert found.keys() == {"numbers", "others"} and not found["numbers"].any()


@pytest.mark.parametrize("m", WITH_PLAIN)
def test_inputs_of_plain_features_alone_are_not_kept(m):
    settings = small_settings(TrainStageSettings, {f"features.{m}.plain": True})
    encoder = encoders_of(m).build(settings.preprocess[m], settings.features[m], None)
    assert encoder.plain.add_to(inputs_of(m)).keys() == {*make_inputs(COUNT)[m], PLAIN}


def test_scale_is_learnt_from_some_assets():
    plain, numbers = Numbers(4, mapped=2), torch.randn(AT_ONCE + 7, 4)
    found = plain.add_to({"numbers": numbers}, fit_to=torch.arange(40))
    torch.testing.assert_close(plain.mean, numbers[:40].mean(0))
    expected = (numbers - plain.mean) / numbers[:40].std(0, correction=0) / 4**0.5
    torch.testing.assert_close(found[PLAIN], expected.clamp(-2.5, 2.5))


def test_scale_is_learnt_from_training_assets():
    features = torch.tensor([[1.0, 5.0, 2.0], [3.0, 5.0, 2.0]])
    plain = Numbers(3, mapped=4)
    plain.fit(features)
    found = plain({"numbers": torch.tensor([[3.0, 6.0, 2.0], [99.0, 5.0, 2.0]])})
    expected = torch.tensor([[1.0, 1.0, 0.0], [5.0, 0.0, 0.0]]) / 3**0.5
    torch.testing.assert_close(found, expected)


class Numbers(StandardisedExtractor):
    """Features that are there already."""

    INPUTS = frozenset({"numbers"})

    def describe(self, inputs):
        return inputs["numbers"]


def test_features_of_a_shard_are_those_that_were_written():
    tokens, mask = torch.randn(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    found = Features(tokens, mask, tokens[:, 0], torch.ones(2, 5))
    again = Features.from_tensors(found.to_tensors())
    assert again.plain.equal(found.plain)
    both = Features.cat([found, again[:1]])
    assert both.plain.shape == (3, 5)


@pytest.mark.parametrize("m", WITH_PLAIN)
def test_other_encoders_have_no_plain_features(m):
    with pytest.raises(ValidationError, match="Set plain to false"):
        modality(m).encoder(encoder="other", plain=True)
