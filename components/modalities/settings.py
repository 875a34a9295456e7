"""Settings that every modality has, or every encoder that ends in a Transformer."""

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from components.stage.settings import Count, DropoutRate, Section, matching
from components.training.settings import LoopSettings, OptimizerSettings

Mixup = Annotated[float, Field(ge=0, le=10)]
COMMIT = r"[0-9a-f]{40}"
WORD = r"\w[\w.-]*"
HUB = rf"({WORD}/)?{WORD}@{COMMIT}"  # a repository on the Hugging Face Hub
ELSEWHERE = rf"{HUB}|package:[\w.]+(/{WORD})*"  # what does not lie in pretrained/

EncoderFile = Annotated[
    str,
    matching(
        r"[^/\\]+\.safetensors",
        "the name of a .safetensors file that lies in the modality's folder of pretrained/, or "
        "null",
    ),
]
EncoderName = Annotated[
    str,
    matching(
        rf"(timm/)?{WORD}|{ELSEWHERE}",
        "the name of an encoder or of a folder that lies in the modality's folder of pretrained/, "
        "timm/<name>, "
        "package:<module>/<folder>, or name@revision on the Hugging Face Hub, the revision as the "
        "40 hexadecimal digits of a commit, since any other can change unseen",
    ),
]


class InputSettings(Section):
    """How files of a modality become tensors."""

    SOURCE_KEYS: ClassVar[frozenset[str]] = frozenset()  # name where something is from, not what


class EncoderSettings(OptimizerSettings, LoopSettings):
    """An encoder, and the file that its weights come from, or its size and its training."""

    # Settings that say nothing about the meaning of a weight.
    LEARNING_KEYS: ClassVar[frozenset[str]] = frozenset(
        {
            *("augmentation", "dropout", "label_smoothing", "pretrained"),
            *OptimizerSettings.model_fields,
            *LoopSettings.model_fields,
        }
    )

    encoder: EncoderName
    """A built-in one, or a pretrained model: docs/encoders.md."""
    pretrained: EncoderFile | None = None
    """A .safetensors file in pretrained/<modality> with weights to use as they are."""
    width: Annotated[int, Field(ge=8, le=4096, multiple_of=4)] = 64
    """Width of the features; pretrained models have their own."""
    dropout: DropoutRate = 0.0
    """Dropout rate in the encoder."""
    label_smoothing: DropoutRate = 0.0
    """Label smoothing of its training."""
    keep_heads: bool = False
    """Keep the heads of its training: for a task that it decides, the model weighs what such heads
    say by the validation samples, and learns what to add. Better on little data."""


def heads_divide_width(width: int, heads: int) -> None:
    """Raise ValueError unless attention heads divide the width."""
    if width % heads:
        raise ValueError(f"heads ({heads}) must divide width ({width})")


class PlainSettings(Section):
    """Plain features beside what an encoder learns that is built here."""

    WITH_PLAIN: ClassVar[str]  # the encoder that takes them

    encoder: EncoderName
    plain: bool = False
    """Add a linear map of features that need no training (docs/small_data.md), and fit heads to
    these alone, which the model weighs as those of keep_heads; better on little data."""

    @model_validator(mode="after")
    def _plain_is_built_in(self):
        if self.plain and self.encoder != self.WITH_PLAIN:
            raise ValueError(
                f"encoder is {self.encoder}, plain is true: only {self.WITH_PLAIN} takes plain "
                "features. Set plain to false"
            )
        return self


class TransformerEncoderSettings(EncoderSettings):
    """An encoder that ends in Transformer layers."""

    dropout: DropoutRate = 0.1
    """Dropout rate in the encoder."""
    layers: Count = 2
    """Number of Transformer layers."""
    heads: Count = 4
    """Attention heads; must divide width."""

    @model_validator(mode="after")
    def _heads_divide_width(self):
        heads_divide_width(self.width, self.heads)
        return self
