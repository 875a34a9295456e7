"""The section `model`: fusion and Transformer."""

from typing import Annotated, Literal

from pydantic import Field, model_serializer, model_validator

from components.stage.section import Count, Dropout, Section

Fusion = Literal["bilinear", "gated", "tensor", "concat", "attention", "bottleneck", "late"]
Norm = Literal["pre", "post"]


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
