"""`params.yaml` as typed, checked settings."""

import difflib
import re
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_serializer,
    model_validator,
)

from components.store.errors import InputError

Modality = Literal["image", "text", "audio"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)  # every loop over modalities has this order
Fusion = Literal["concat", "attention", "bilinear"]
Split = Literal["train", "validation", "test"]
TaskKind = Literal["classification", "multilabel", "regression", "vqa", "retrieval"]

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Dropout = Annotated[float, Field(ge=0, lt=1)]

IDS = ("sample_id", *(f"{modality}_id" for modality in MODALITIES))  # of the samples, by ingest

RESERVED = {  # no names for tasks
    *("transcript", "masked_tokens", "same_text", "same_image", "same_audio"),  # encoders' own
    "training",  # every torch module has it
}


def _encoder_file(name: str) -> str:
    if not re.fullmatch(r"[^/\\]+\.safetensors", name):
        raise ValueError(
            f"found {name!r}, expected the name of a .safetensors file that lies in the modality's "
            "folder of pretrained/, or null"
        )
    return name


def _tokenizer_source(name: str) -> str:
    if not re.fullmatch(r"[^/\\]+\.json|([\w.-]+/)?[\w.-]+@[0-9a-f]{40}", name):
        raise ValueError(
            f"found {name!r}, expected the name of a .json file that lies in pretrained/text, or "
            "name@revision on the Hugging Face Hub, the revision as the 40 hexadecimal digits of a "
            "commit, since any other can change unseen, or null"
        )
    return name


class Section(BaseModel):
    """A mapping in params.yaml; keys that it does not name are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


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


Source = Literal["demo", "table", "coco", "flickr30k", "vqa", "huggingface"]


class IngestSettings(Section):
    """Where the data comes from, and what is done with bad rows."""

    source: Source
    root: str
    splits: SplitSettings
    on_leak: Literal["error", "drop", "allow"]
    max_bad_fraction: Share
    slices: Annotated[tuple[str, ...], Field(strict=False)]
    demo: DemoSettings | None = None
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


class TaskSettings(Section):
    """A task over one column of the samples."""

    kind: TaskKind = "classification"
    column: str
    decided_by: Annotated[tuple[Modality, ...], Field(strict=False)] | None = None
    weight: Positive
    answers: Annotated[int, Field(ge=2)] | None = None  # kind vqa: so many of the most frequent
    query: Modality | None = None  # kind retrieval: what is given …
    target: Modality | None = None  # … and what is to be found

    @model_validator(mode="after")
    def _answers_are_for_vqa(self):
        if (self.kind == "vqa") != (self.answers is not None):
            raise ValueError(
                f"kind is {self.kind}, answers is {self.answers}; kind vqa needs answers, the size "
                "of its vocabulary, and no other kind has it"
            )
        return self

    @model_validator(mode="after")
    def _query_and_target_are_for_retrieval(self):
        named = f"kind is {self.kind}, query is {self.query}, target is {self.target}"
        if self.kind == "retrieval":
            if not (self.query and self.target) or self.query == self.target:
                raise ValueError(f"{named}; kind retrieval needs both, two different modalities")
        elif self.query or self.target:
            raise ValueError(f"{named}; only kind retrieval has them, so remove them")
        return self

    @model_validator(mode="after")
    def _decided_by_is_for_heads(self):
        if (self.kind == "retrieval") != (self.decided_by is None):
            found = "is missing" if self.decided_by is None else f"is {list(self.decided_by)}"
            raise ValueError(
                f"kind is {self.kind}, decided_by {found}; kind retrieval has query and target in "
                "its place, every other kind needs it: [] if no modality alone decides the label"
            )
        return self


class ImageSettings(Section):
    """How an image becomes a tensor."""

    size: Annotated[int, Field(ge=16, le=1024, multiple_of=16)]


class TextSettings(Section):
    """How a text becomes token ids."""

    tokenizer: Annotated[str, AfterValidator(_tokenizer_source)] | None  # null: one is trained
    vocabulary: Annotated[int, Field(ge=257, le=100_000)]
    max_tokens: Annotated[int, Field(ge=2, le=4096)]


class AudioSettings(Section):
    """How sound becomes a log-mel spectrogram."""

    sample_rate: Annotated[int, Field(ge=8_000, le=192_000)]
    mels: Annotated[int, Field(ge=8, le=256)]
    window: Annotated[int, Field(ge=64, le=16_384)]
    hop: Annotated[int, Field(ge=16, le=16_384)]
    max_seconds: Annotated[float, Field(gt=0, le=600)]

    @model_validator(mode="after")
    def _hop_within_window(self):
        if self.hop > self.window:
            raise ValueError(f"hop ({self.hop}) must not exceed window ({self.window})")
        return self

    @property
    def frames(self) -> int:
        """Frames of the longest sound."""
        return int(self.max_seconds * self.sample_rate) // self.hop + 1


class PreprocessSettings(Section):
    """From media to tensors."""

    image: ImageSettings
    text: TextSettings
    audio: AudioSettings


class OptimiserSettings(Section):
    """AdamW with a linear warm-up over a tenth of the steps and a cosine decay to zero."""

    epochs: Count
    batch: Annotated[int, Field(ge=2)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]


class EncoderSettings(OptimiserSettings):
    """The size of a modality's encoder and its own training, or the file that it is taken from."""

    pretrained: Annotated[str, AfterValidator(_encoder_file)] | None
    width: Annotated[int, Field(ge=8, le=4096, multiple_of=4)]
    dropout: Dropout
    label_smoothing: Dropout


class TransformerEncoderSettings(EncoderSettings):
    """An encoder that ends in Transformer layers."""

    layers: Count
    heads: Count

    @model_validator(mode="after")
    def _heads_divide_width(self):
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        return self


class FeatureSettings(Section):
    """One encoder a modality."""

    image: EncoderSettings
    text: TransformerEncoderSettings
    audio: TransformerEncoderSettings


class AlignSettings(OptimiserSettings):
    """The shared space of all modalities."""

    width: Annotated[int, Field(ge=8, le=4096)]


class ModelSettings(Section):
    """Fusion and the Transformer over the fused tokens."""

    fusion: Fusion
    width: Annotated[int, Field(ge=8, le=4096)]
    rank: Count
    layers: Count
    heads: Count
    dropout: Dropout

    @model_validator(mode="after")
    def _heads_divide_width(self):
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        return self


class TrainSettings(OptimiserSettings):
    """Joint training of everything after the encoders, or of the encoders too."""

    encoders: Literal["frozen", "finetune"]
    modality_dropout: Dropout


class RegisterSettings(Section):
    """Where the model is registered."""

    experiment: Annotated[str, Field(min_length=1)]
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    alias: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


class Settings(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0, lt=2**63)]
    threads: Annotated[int, Field(ge=1, le=256)]
    workers: Annotated[int, Field(ge=1, le=256)]
    ingest: IngestSettings
    tasks: Annotated[dict[str, TaskSettings], Field(min_length=1)]
    preprocess: PreprocessSettings
    features: FeatureSettings
    align: AlignSettings
    model: ModelSettings
    train: TrainSettings
    register_: RegisterSettings = Field(alias="register")

    @model_validator(mode="after")
    def _names_do_not_clash(self):
        labels = {
            task.column
            for task in self.tasks.values()
            if task.kind != "retrieval" or task.column not in IDS  # those may be shared
        }
        if clash := sorted((labels | set(self.ingest.slices)) & {"split", *IDS}):
            raise ValueError(f"columns {', '.join(clash)} are the pipeline's own; rename them")
        return self

    @model_validator(mode="after")
    def _one_kind_a_column(self):
        words = "classification"  # as are slices, and what retrieval's assets share
        kinds = {column: {words} for column in self.ingest.slices}
        for task in self.tasks.values():
            kind = words if task.kind == "retrieval" else task.kind
            kinds.setdefault(task.column, set()).add(kind)
        if mixed := sorted(column for column, found in kinds.items() if len(found) > 1):
            raise ValueError(
                f"columns {', '.join(mixed)} are read by tasks of several kinds, or by a task and "
                "as a slice; only classification, retrieval and slices may share one. Give each "
                "other task a column of its own"
            )
        return self

    @model_validator(mode="after")
    def _a_head_is_learnt(self):
        if all(task.kind == "retrieval" for task in self.tasks.values()):
            raise ValueError(
                "tasks are all of kind retrieval, which the stage align learns; those after it "
                "train and evaluate heads, so declare a task of another kind too"
            )
        return self

    @model_validator(mode="after")
    def _text_encoder_knows_its_tokens(self):
        if self.features.text.pretrained and self.preprocess.text.tokenizer is None:
            raise ValueError(
                "features.text.pretrained needs preprocess.text.tokenizer: name the one that the "
                "encoder was taught with, since a new one would number other words"
            )
        return self

    @model_validator(mode="after")
    def _names_of_tasks(self):
        # A task's name becomes that of a head, of a column and of a metric.
        odd = [n for n in self.tasks if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", n)]
        if odd:
            raise ValueError(
                f"tasks {odd}: only letters, digits, _ and - can be in a name, the first a letter "
                "or a digit"
            )
        confidences = {f"{name}_confidence" for name in self.tasks}  # columns of the answers
        if clash := sorted((RESERVED | confidences) & self.tasks.keys()):
            raise ValueError(f"tasks {clash} have names that are the pipeline's own; rename them")
        return self


class _Loader(yaml.SafeLoader):
    """YAML in which no mapping names a key twice; PyYAML itself keeps the last one."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        first = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            known = first.setdefault((key.tag, key.value), key)
            if known is not key:
                line, before = key.start_mark.line + 1, known.start_mark.line + 1
                raise InputError(
                    f"{self.name}, line {line}: the key {key.value!r} is in line {before} already. "
                    "Keep one of them"
                )
        return node


def load_settings(path: Path) -> Settings:
    """Read and check a parameter file.

    Raises:
        InputError: the file is missing, is not YAML, or holds unknown keys or impossible values;
            every one of them is named, each with the nearest valid one.
    """
    try:
        with path.open("rb") as file:
            content = yaml.load(file, _Loader)
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing. Name another file with --params") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {error}") from error
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        problems = "\n".join(f"  {_explain(problem)}" for problem in error.errors())
        raise InputError(f"{path} cannot be used:\n{problems}") from error


def _explain(problem: dict) -> str:
    """One line for one of Pydantic's errors: key, what is wrong, what was found, what is near."""
    location = [part for part in problem["loc"] if part != "[key]"]
    key = ".".join(map(str, location)) or "(the whole file)"
    match problem["type"]:
        case "extra_forbidden":
            valid = _valid_keys(location[:-1])
            return f"{key}: unknown key. {_nearest(str(location[-1]), valid)}"
        case "missing":
            return f"{key}: the key is missing"
        case "literal_error":
            valid = [option for option in problem["ctx"]["expected"].split("'")[1::2]]
            return f"{key}: found {problem['input']!r}. {_nearest(str(problem['input']), valid)}"
        case "value_error":
            return f"{key}: {problem['ctx']['error']}"
        case _:
            return f"{key}: {problem['msg'].lower()}, found {problem['input']!r}"


def _nearest(word: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(word, valid, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    return f"{hint}Valid here: {', '.join(valid)}"


def _valid_keys(location: list) -> list[str]:
    """The keys that the section at `location` may have."""
    node = schema = Settings.model_json_schema(by_alias=True)
    for part in location:
        node = _resolve(node, schema)
        if isinstance(part, int):
            node = node["items"]
        else:
            node = node.get("properties", {}).get(part, node.get("additionalProperties"))
    return list(_resolve(node, schema)["properties"])


def _resolve(node: dict, schema: dict) -> dict:
    node = node["anyOf"][0] if "anyOf" in node else node  # a section or null
    return schema["$defs"][node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node
