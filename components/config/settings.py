"""`params.yaml` as typed, checked settings."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_serializer, model_validator

from components.config.ingest import IngestSettings
from components.config.section import (
    IDS,
    MODALITIES,
    Count,
    Dropout,
    Modality,
    Positive,
    Section,
    Share,
)

Fusion = Literal["bilinear", "gated", "tensor", "concat", "attention", "bottleneck", "late"]
Norm = Literal["pre", "post"]
Rate = Annotated[float, Field(gt=0, le=1)]
TaskKind = Literal["classification", "multilabel", "regression", "vqa", "generation", "retrieval"]

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


def _encoder_source(name: str) -> str:
    word = r"\w[\w.-]*"
    if not re.fullmatch(rf"{word}|({word}/)?{word}@[0-9a-f]{{40}}|package:[\w.]+(/{word})*", name):
        raise ValueError(
            f"found {name!r}, expected the name of an encoder or of a folder that lies in the "
            "modality's folder of pretrained/, package:<module>/<folder>, or name@revision on the "
            "Hugging Face Hub, the revision as the 40 hexadecimal digits of a commit, since any "
            "other can change unseen"
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


def _decoding(word: str) -> str:
    if not re.fullmatch(r"greedy|beam/([1-9]|[1-5]\d|6[0-4])|nucleus/(0?\.\d+|1(\.0*)?)", word):
        raise ValueError(
            f"found {word!r}, expected greedy, beam/WIDTH with 1 to 64 texts side by side as in "
            "beam/4, or nucleus/SHARE with a share of the probability, 0 to 1, as in nucleus/0.9"
        )
    return word


class TaskSettings(Section):
    """A task over one column of the samples."""

    kind: TaskKind = "classification"
    column: str
    decided_by: Annotated[tuple[Modality, ...], Field(strict=False)] | None = None
    weight: Positive
    goal: Share | None = None  # the quality at which it is done, if that is not a perfect one
    answers: Annotated[int, Field(ge=2)] | None = None  # kind vqa: so many of the most frequent
    vocabulary: Annotated[int, Field(ge=257, le=100_000)] | None = None  # kind generation: tokens
    max_tokens: Annotated[int, Field(ge=1, le=4096)] | None = None  # likewise: longer texts are cut
    decoding: Annotated[str, AfterValidator(_decoding)] | None = None  # how a text is chosen
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
    def _how_to_write_is_for_generation(self):
        keys = ("vocabulary", "max_tokens", "decoding")
        named = ", ".join(f"{key} is {getattr(self, key)}" for key in keys)
        if any((getattr(self, key) is None) == (self.kind == "generation") for key in keys):
            raise ValueError(
                f"kind is {self.kind}, {named}; kind generation needs all three, as 512, 16 and "
                "greedy, and no other kind has them"
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
    def _goal_can_be_approached(self):
        start = 1 if self.kind == "regression" else 0
        if self.goal is not None and (self.kind == "retrieval" or self.goal == start):
            raise ValueError(
                f"kind is {self.kind}, goal is {self.goal}; expected an accuracy, F1 or soft score "
                "above 0, for kind regression an absolute error below 1 standard deviation, for "
                "kind retrieval none"
            )
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
    learning_rate: Rate
    weight_decay: Annotated[float, Field(ge=0, le=1)]


class EncoderSettings(OptimiserSettings):
    """A modality's encoder, its size and its own training, or the file that it is taken from.

    Sizes and training are those of encoders that are built here.
    """

    encoder: Annotated[str, AfterValidator(_encoder_source)]
    pretrained: Annotated[str, AfterValidator(_encoder_file)] | None
    width: Annotated[int, Field(ge=8, le=4096, multiple_of=4)]
    dropout: Dropout
    label_smoothing: Dropout


class ImageEncoderSettings(EncoderSettings):
    """An encoder of images."""

    mirror: bool


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

    image: ImageEncoderSettings
    text: TransformerEncoderSettings
    audio: TransformerEncoderSettings


class AlignSettings(OptimiserSettings):
    """The shared space of all modalities."""

    loss: Literal["infonce", "sigmoid"]
    width: Annotated[int, Field(ge=8, le=4096)]


class SizeSettings(Section):
    """Size of the Transformer: the name of one of `SIZES`, or its three numbers."""

    width: Annotated[int, Field(ge=8, le=4096)]
    layers: Count
    heads: Count

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, value):
        if isinstance(value, dict | cls):
            return value
        if value not in list(SIZES):  # a list, since not every value can be looked up in a mapping
            raise ValueError(
                f"found {value!r}, expected {', '.join(SIZES)}, or a mapping with width, layers "
                "and heads"
            )
        return SIZES[value]

    @model_serializer(mode="wrap")
    def _name(self, numbers):
        found = numbers(self)
        return next((name for name, size in SIZES.items() if size == found), found)

    @model_validator(mode="after")
    def _heads_divide_width(self):
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        return self


SIZES = {  # each has about ten times the weights of the one before: docs/model.md
    "nano": {"width": 64, "layers": 2, "heads": 4},
    "micro": {"width": 128, "layers": 6, "heads": 4},
    "small": {"width": 384, "layers": 6, "heads": 6},
    "base": {"width": 768, "layers": 14, "heads": 12},
}


class ModelSettings(Section):
    """Fusion and the Transformer over the fused tokens."""

    fusion: Fusion
    rank: Count
    bottlenecks: Count
    size: SizeSettings
    norm: Norm
    dropout: Dropout

    @property
    def width(self) -> int:
        """Of the Transformer."""
        return self.size.width

    @property
    def layers(self) -> int:
        """Of the Transformer."""
        return self.size.layers

    @property
    def heads(self) -> int:
        """Of each attention."""
        return self.size.heads


class StoppingSettings(Section):
    """Training ends when a metric of the validation split no longer improves."""

    metric: Annotated[str, Field(min_length=1)]
    patience: Count


class LoopSettings(Section):
    """How the training loop makes its steps, and when it ends."""

    schedule: Literal["cosine", "one_cycle"]
    average: Dropout
    accumulate: Count
    clip: Positive | None
    precision: Literal["float32", "bfloat16"]
    early_stopping: StoppingSettings | None


class EncoderModes(Section):
    """Which encoders joint training changes."""

    image: Literal["frozen", "finetune"]
    text: Literal["frozen", "finetune"]
    audio: Literal["frozen", "finetune"]


class EncoderRates(Section):
    """Learning rates of the encoders in joint training."""

    image: Rate
    text: Rate
    audio: Rate


class TrainSettings(OptimiserSettings, LoopSettings):
    """Joint training of everything after the encoders, or of some encoders too."""

    encoders: EncoderModes
    encoder_learning_rates: EncoderRates
    modality_dropout: Dropout
    weighting: Literal["fixed", "uncertainty", "gradnorm"]
    gradnorm_alpha: Annotated[float, Field(ge=0, le=10)]
    tasks: Literal["all", "size", "lagging"]
    size_temperature: Annotated[float, Field(ge=1, le=1000)]
    lagging_focus: Annotated[float, Field(ge=0, le=10)]
    modulation: Literal["none", "ogm-ge"]
    ogm_alpha: Annotated[float, Field(ge=0, le=10)]
    compile: bool
    device: Literal["cpu", "cuda"]
    processes: Annotated[int, Field(ge=1, le=256)]

    @model_validator(mode="after")
    def _a_batch_has_as_many_parts(self):
        if self.accumulate * self.processes > self.batch:
            raise ValueError(
                f"accumulate × processes ({self.accumulate} × {self.processes}) parts of a batch "
                f"({self.batch}) would be empty; lower them or raise batch"
            )
        return self

    @model_validator(mode="after")
    def _gradnorm_sees_every_task(self):
        if self.weighting == "gradnorm" and self.tasks != "all":
            raise ValueError(
                f"weighting is gradnorm, tasks is {self.tasks}: GradNorm compares the gradients of "
                "the tasks of one step, which would have one task only. Set tasks: all, or another "
                "weighting"
            )
        if self.weighting == "gradnorm" and self.compile:
            raise ValueError(
                "weighting is gradnorm, compile is true: GradNorm goes back from each task's loss, "
                "and a compiled model can be gone back through only once. Set compile: false, or "
                "another weighting"
            )
        return self

    @property
    def frozen(self) -> set[Modality]:
        """The modalities whose encoders stay as they are."""
        return {m for m in MODALITIES if getattr(self.encoders, m) == "frozen"}


def _template(text: str) -> str:
    if text.count("{}") != 1:
        raise ValueError(f"found {text!r}, expected a text with one {{}}, where the class goes")
    return text


class PromptSettings(Section):
    """What is said of an asset of each class of a task."""

    templates: Annotated[
        tuple[Annotated[str, AfterValidator(_template)], ...], Field(min_length=1, strict=False)
    ]
    words: dict[str, Annotated[str, Field(min_length=1)]]


class EvaluateSettings(Section):
    """What is measured beside the heads."""

    prompts: dict[str, PromptSettings]


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
    evaluate: EvaluateSettings
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
        text, tokenizer = self.features.text, self.preprocess.text.tokenizer
        brings_its_own = text.encoder != "transformer"
        if brings_its_own and tokenizer is not None:
            raise ValueError(
                f"features.text.encoder {text.encoder} brings its tokenizer, so set "
                f"preprocess.text.tokenizer to null, found {tokenizer}"
            )
        if text.pretrained and tokenizer is None and not brings_its_own:
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

    @model_validator(mode="after")
    def _prompts_are_for_classes(self):
        classified = [name for name, task in self.tasks.items() if task.kind == "classification"]
        if odd := [name for name in self.evaluate.prompts if name not in classified]:
            named = ", ".join(classified) or "none"
            raise ValueError(
                f"evaluate.prompts names {', '.join(odd)}; only tasks of kind classification can "
                f"have prompts: {named}"
            )
        return self
