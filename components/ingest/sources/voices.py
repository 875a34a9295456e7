"""Synthetic speech for the texts of a source: eSpeak NG speaks them, in voices of each split.

eSpeak NG is the optional extra `speech`.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Annotated

from pydantic import Field, model_serializer, model_validator

from components.common.errors import InputError
from components.common.hashing import number_from
from components.data.samples import SPLITS, Split
from components.ingest.records import BadRow, Media, Record, Rows, Value
from components.ingest.sources.espeak import Utterance, has_voice, say
from components.modalities.text.decoding import normalise
from components.stage.settings import Section

LONGEST = 1_000  # characters that are spoken, about a minute: 2.6 MB, and 256 clips are in memory


class Voice(Section):
    """One speaker of eSpeak NG; in params.yaml `accent/speed/pitch`."""

    accent: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    """A voice of eSpeak NG."""
    speed: Annotated[int, Field(ge=80, le=450)]
    """Words per minute."""
    pitch: Annotated[int, Field(ge=0, le=99)]
    """From 0 to 99."""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, word):
        if not isinstance(word, str):
            return word
        accent, *numbers = word.split("/")
        if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
            raise ValueError(f"found {word!r}, expected accent/speed/pitch as in en-us/160/50")
        return {"accent": accent, "speed": int(numbers[0]), "pitch": int(numbers[1])}

    @model_serializer
    def name(self) -> str:
        """Accent, speed and pitch in one word, as in params.yaml."""
        return f"{self.accent}/{self.speed}/{self.pitch}"

    def utterance(self, text: str) -> Utterance:
        """Return a text in this voice."""
        return Utterance(text, self.accent, self.speed, self.pitch)


Voices = Annotated[tuple[Voice, ...], Field(min_length=1, strict=False)]


class VoiceSettings(Section):
    """The speakers of each split; none may be in two."""

    train: Voices
    """Voices of the split, as accent/speed/pitch."""
    validation: Voices
    """Voices of the split, as accent/speed/pitch."""
    test: Voices
    """Voices of the split, as accent/speed/pitch."""

    @model_validator(mode="after")
    def _each_in_one_split(self):
        names = [voice.name() for voice in self.all()]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"voices are listed twice: {', '.join(twice)}")
        return self

    @classmethod
    def of(cls, words: Mapping[str, str]) -> "VoiceSettings":
        """Return settings from voices separated by spaces, by split."""
        return cls.model_validate({split: words[split].split() for split in SPLITS})

    def all(self) -> tuple[Voice, ...]:
        """Return the speakers of all splits."""
        return (*self.train, *self.validation, *self.test)

    def choose(self, split: Split, *key: str | int) -> Voice:
        """Return the speaker of a split that a hash of a key chooses."""
        voices = getattr(self, split)
        return voices[number_from(*key) % len(voices)]


def with_voices(rows: Rows, voices: VoiceSettings, seed: int) -> Rows:
    """Give every record that has a text and no sound the sound of its text.

    A hash of the seed and the record's id chooses among the voices of its split, so that new rows
    change no other. Every record gets the columns `voice` and `accent`. Raises `InputError` if the
    extra is not installed, a voice does not exist, or the source has one of these columns.
    """
    require_voices(voices, "ingest.speech.voices")
    for row in rows:
        yield row if isinstance(row, BadRow) else _voiced(row, voices, seed)


def _voiced(record: Record, voices: VoiceSettings, seed: int) -> Record:
    voice, media = None, record.media
    text = media["text"].load() if "text" in media and "audio" not in media else None
    if isinstance(text, bytes) and record.split is not None:
        voice = voices.choose(record.split, seed, "voice", record.row_id)
        media = {**media, "audio": spoken(text.decode(), voice)}
    if clash := sorted(voice_columns(voice).keys() & record.columns.keys()):
        raise InputError(
            f"the source has a column {clash[0]!r}, and ingest.speech.voices makes one. "
            "Rename the source's"
        )
    return replace(record, media=media, columns={**record.columns, **voice_columns(voice)})


def voice_columns(voice: Voice | None) -> dict[str, Value]:
    """Return the columns of a record that describe its speaker."""
    return {"voice": voice and voice.name(), "accent": voice and voice.accent}


def spoken(text: str, voice: Voice) -> Media:
    """Return the sound of a text, cut and normalised; it is synthesised when it is read."""
    utterance = voice.utterance(normalise(text)[:LONGEST])
    return Media(f"{voice.name()}: {text}", partial(say, utterance))


def require_voices(voices: VoiceSettings, setting: str) -> None:
    """Raise `InputError` unless eSpeak NG is installed and has every voice."""
    if find_spec("espeakng_loader") is None:
        raise InputError(
            f"{setting} needs the extra 'speech', which is not installed. Install it: "
            "pip install -e '.[speech]'"
        )
    accents = dict.fromkeys(voice.accent for voice in voices.all())
    if missing := [accent for accent in accents if not has_voice(accent)]:
        raise InputError(
            f"{setting}: eSpeak NG has no voice {', '.join(map(repr, missing))}. Name one by its "
            "language, as espeak-ng --voices lists them: en-us, de, cmn"
        )
