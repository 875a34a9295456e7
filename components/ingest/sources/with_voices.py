"""Speech beside text: eSpeak NG speaks the texts of a source, each in a voice of its split.

eSpeak NG is the optional extra `speech`.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

from components.common.errors import InputError
from components.common.hashing import number_from
from components.data.tables import SPLITS
from components.ingest.record import BadRow, Media, Record, Rows, Value
from components.ingest.settings import Voice, VoiceSettings
from components.ingest.sources.speech import Utterance, has_voice, say
from components.modalities.text.decoding import normalise

LONGEST = 1_000  # characters that are spoken, about a minute: 2.6 MB, and 256 clips are in memory


def with_voices(rows: Rows, voices: VoiceSettings, seed: int) -> Rows:
    """Give every record that has a text and no sound the sound of its text.

    A hash of the record's line chooses among the voices of its split, so new rows change no other.
    Every record gets the columns `voice` and `accent`.

    Args:
        rows: the records with their splits.
        voices: who speaks in each split.
        seed: another seed, other voices.

    Raises:
        InputError: the extra is not installed, a voice does not exist, or the source has a column
            `voice` or `accent`.
    """
    require(voices, "ingest.speech.voices")
    for row in rows:
        yield row if isinstance(row, BadRow) else _voiced(row, voices, seed)


def _voiced(record: Record, voices: VoiceSettings, seed: int) -> Record:
    voice, media = None, record.media
    if "text" in media and "audio" not in media:
        choice = getattr(voices, record.split)
        voice = choice[number_from(seed, "voice", record.line) % len(choice)]
        media = {**media, "audio": spoken(media["text"].load().decode(), voice)}
    if clash := sorted(columns(voice).keys() & record.columns.keys()):
        raise InputError(
            f"the source has a column {clash[0]!r}, and ingest.speech.voices makes one. "
            "Rename the source's"
        )
    return replace(record, media=media, columns={**record.columns, **columns(voice)})


def columns(voice: Voice | None) -> dict[str, Value]:
    """What the columns of a record say about who speaks."""
    return {"voice": voice and voice.name(), "accent": voice and voice.accent}


def spoken(text: str, voice: Voice) -> Media:
    """The sound of a text as the model gets it, its end cut; spoken when it is read."""
    utterance = Utterance(normalise(text)[:LONGEST], voice.accent, voice.speed, voice.pitch)
    return Media(f"{voice.name()}: {text}", partial(say, utterance))


def require(voices: VoiceSettings, setting: str) -> None:
    """Check that eSpeak NG is installed and has every voice.

    Raises:
        InputError: it is not, or it lacks one.
    """
    if find_spec("espeakng_loader") is None:
        raise InputError(
            f"{setting} needs the package of the extra 'speech', found none. Install it: "
            "pip install -e '.[speech]'"
        )
    missing = [accent for accent in _accents(voices) if not has_voice(accent)]
    if missing:
        raise InputError(
            f"{setting}: eSpeak NG has no voice {', '.join(map(repr, missing))}. Name one by its "
            "language, as espeak-ng --voices lists them: en-us, de, cmn"
        )


def _accents(voices: VoiceSettings) -> Iterable[str]:
    return dict.fromkeys(voice.accent for split in SPLITS for voice in getattr(voices, split))
