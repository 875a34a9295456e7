"""The section `ingest`: the sources, and what is done with their rows."""

from string import Formatter
from typing import Annotated, Literal

from pydantic import Field, model_serializer, model_validator

from components.data.tables import Split
from components.modalities.registry import MODALITIES
from components.stage.section import Count, Section, Share


class Voice(Section):
    """One speaker of eSpeak NG; in params.yaml `accent/speed/pitch`."""

    accent: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]  # a voice of eSpeak NG
    speed: Annotated[int, Field(ge=80, le=450)]  # words a minute
    pitch: Annotated[int, Field(ge=0, le=99)]

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


Decibels = Annotated[float, Field(ge=-60, le=60)]
Voices = Annotated[tuple[Voice, ...], Field(min_length=1, strict=False)]


class VoiceSettings(Section):
    """Who speaks in each split."""

    train: Voices
    validation: Voices
    test: Voices

    @model_validator(mode="after")
    def _each_in_one_split(self):
        names = [
            voice.name() for voices in (self.train, self.validation, self.test) for voice in voices
        ]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"voices are listed twice: {', '.join(twice)}")
        return self


class DemoSettings(Section):
    """The demo source."""

    images: Count | None
    voices: VoiceSettings


class DigitsSettings(Section):
    """The digits source."""

    images: Count | None
    energy_removed: Annotated[float, Field(ge=0, lt=1)]
    snr: Annotated[tuple[Decibels, Decibels], Field(strict=False)]
    babble: Share
    voices: VoiceSettings

    @model_validator(mode="after")
    def _snr_is_a_range(self):
        lowest, highest = self.snr
        if lowest > highest:
            raise ValueError(f"snr: found {list(self.snr)}, expected the lower bound first")
        return self


class ColumnSettings(Section):
    """What the columns of a source's files are; a column that is null is not there."""

    id: str | None = None
    image: str | None = None
    text: str | None = None
    audio: str | None = None
    split: str | None = None

    @model_validator(mode="after")
    def _a_modality_is_there(self):
        if not any(getattr(self, modality) for modality in MODALITIES):
            raise ValueError(f"name the column of at least one of {', '.join(MODALITIES)}")
        return self


class TableSettings(ColumnSettings):
    """Rows of CSV, JSON Lines or Parquet files."""

    files: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]  # globs below the root


class CocoSplit(Section):
    """One split of COCO: a folder of images and what is said about them."""

    images: str
    captions: str | None = None
    instances: str | None = None

    @model_validator(mode="after")
    def _says_something(self):
        if self.captions is None and self.instances is None:
            raise ValueError("captions or instances is needed, found neither")
        return self


class CocoSettings(Section):
    """COCO's captions and instances."""

    splits: Annotated[dict[Split, CocoSplit], Field(min_length=1)]


class Flickr30kSettings(Section):
    """Flickr30k: a token file, or Karpathy's JSON with its splits."""

    images: str
    captions: str


class VqaSplit(Section):
    """One split of VQA v2; a test split has no annotations."""

    images: str
    name: str  # of an image's file, as COCO_train2014_{image_id:012d}.jpg
    questions: str
    annotations: str | None = None

    @model_validator(mode="after")
    def _image_id_alone_is_filled_in(self):
        try:
            parts = list(Formatter().parse(self.name))
        except ValueError as error:
            raise ValueError(f"name {self.name!r} is no pattern: {error}") from error
        fields = [(field, form) for _, field, form, _ in parts if field is not None]
        if not fields or any(field != "image_id" or "{" in form for field, form in fields):
            raise ValueError(
                f"name: found {self.name!r}, expected one with image_id in braces, as in "
                "COCO_train2014_{image_id:012d}.jpg"
            )
        return self


class VqaSettings(Section):
    """VQA v2's questions with ten answers each."""

    splits: Annotated[dict[Split, VqaSplit], Field(min_length=1)]


class HuggingFaceSettings(ColumnSettings):
    """A folder that `datasets` saved, or Parquet shards with its image and audio columns."""

    path: str


class SpeechTable(Section):
    """A table of caption or question id and sound file.

    Flickr8k-audio's wav2capt.txt and SpeechCOCO's databases (.sqlite3) are read as published; a
    CSV, JSON Lines or Parquet file needs the names of its columns.
    """

    file: str
    sounds: str = "."  # folder that the paths in the table start from
    id: str | None = None  # the column that holds the id of a caption or question
    audio: str | None = None  # the column that holds the path of a sound file

    @model_validator(mode="after")
    def _columns_are_named(self):
        published = self.file.endswith((".txt", ".sqlite3"))
        if published != (self.id is None) or published != (self.audio is None):
            raise ValueError(
                f"file: {self.file!r}: the columns id and audio are needed for .csv, .jsonl and "
                ".parquet, and not for .txt (Flickr8k-audio) and .sqlite3 (SpeechCOCO)"
            )
        return self


class SpeechSettings(Section):
    """Spoken versions of a source's texts: recorded, or by eSpeak NG."""

    tables: Annotated[tuple[SpeechTable, ...], Field(min_length=1, strict=False)] | None = None
    voices: VoiceSettings | None = None

    @model_validator(mode="after")
    def _recorded_or_synthesised(self):
        if (self.tables is None) == (self.voices is None):
            found = "neither" if self.tables is None else "both"
            raise ValueError(f"tables (recorded) or voices (by eSpeak NG) is needed, found {found}")
        return self


class SplitSettings(Section):
    """How samples get a split that the source does not give.

    A group is in one split, whatever is added later: a hash of the group decides.
    """

    group: Annotated[str, Field(min_length=1)]  # a modality, or a column: `image`, `speaker`
    validation: Annotated[float, Field(ge=0, le=0.5)]  # of the groups in training
    test: Annotated[float, Field(ge=0, le=0.5)]  # of the groups without a split


Source = Literal["demo", "digits", "table", "coco", "flickr30k", "vqa", "huggingface"]


class IngestSettings(Section):
    """Where the data comes from, and what is done with bad rows."""

    source: Source
    root: str
    splits: SplitSettings
    on_leak: Literal["error", "drop", "allow"]
    max_bad_fraction: Share
    slices: Annotated[tuple[str, ...], Field(strict=False)]
    demo: DemoSettings | None = None
    digits: DigitsSettings | None = None
    table: TableSettings | None = None
    coco: CocoSettings | None = None
    flickr30k: Flickr30kSettings | None = None
    vqa: VqaSettings | None = None
    huggingface: HuggingFaceSettings | None = None
    speech: SpeechSettings | None = None

    @model_validator(mode="after")
    def _source_is_described(self):
        if getattr(self, self.source) is None:
            raise ValueError(
                f"source is {self.source}, so the section ingest.{self.source} is needed"
            )
        return self
