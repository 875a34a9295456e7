"""The sections `preprocess` and `features`: from media to features."""

from typing import Annotated

from pydantic import Field, model_validator

from components.stage.section import Count, Dropout, Section, matching
from components.training.settings import OptimiserSettings

COMMIT = r"[0-9a-f]{40}"
WORD = r"\w[\w.-]*"

EncoderFile = Annotated[
    str,
    matching(
        r"[^/\\]+\.safetensors",
        "the name of a .safetensors file that lies in the modality's folder of pretrained/, or "
        "null",
    ),
]
EncoderSource = Annotated[
    str,
    matching(
        rf"{WORD}|({WORD}/)?{WORD}@{COMMIT}|package:[\w.]+(/{WORD})*",
        "the name of an encoder or of a folder that lies in the modality's folder of pretrained/, "
        "package:<module>/<folder>, or name@revision on the Hugging Face Hub, the revision as the "
        "40 hexadecimal digits of a commit, since any other can change unseen",
    ),
]
TokenizerSource = Annotated[
    str,
    matching(
        rf"[^/\\]+\.json|([\w.-]+/)?[\w.-]+@{COMMIT}",
        "the name of a .json file that lies in pretrained/text, or name@revision on the Hugging "
        "Face Hub, the revision as the 40 hexadecimal digits of a commit, since any other can "
        "change unseen, or null",
    ),
]


class ImageSettings(Section):
    """How an image becomes a tensor."""

    size: Annotated[int, Field(ge=16, le=1024, multiple_of=16)]


class TextSettings(Section):
    """How a text becomes token ids."""

    tokenizer: TokenizerSource | None  # null: one is trained
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


class EncoderSettings(OptimiserSettings):
    """A modality's encoder, its size and its own training, or the file that it is taken from.

    Sizes and training are those of encoders that are built here.
    """

    encoder: EncoderSource
    pretrained: EncoderFile | None
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
