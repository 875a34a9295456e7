"""Settings of the model after the encoders: fusion and Transformer."""

from typing import Annotated, Any

from pydantic import Field, model_serializer, model_validator

from components.fusion.settings import ONE_FUSION, FusionSettings
from components.layers.transformer_shape import Norm, TransformerShape
from components.modalities.settings import heads_divide_width
from components.stage.settings import Count, DropoutRate, Section, by_default

SIZES = {  # each has about ten times the weights of the one before: docs/model.md
    "nano": {"width": 64, "layers": 2, "heads": 4},
    "micro": {"width": 128, "layers": 6, "heads": 4},
    "small": {"width": 384, "layers": 6, "heads": 6},
    "base": {"width": 768, "layers": 14, "heads": 12},
}


class SizeSettings(Section):
    """Size of the Transformer: a name of `SIZES`, or three numbers."""

    width: Annotated[int, Field(ge=8, le=4096)]
    """Width of a token."""
    layers: Count
    """Number of Transformer layers."""
    heads: Count
    """Attention heads; must divide width."""

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        if isinstance(value, dict | cls):
            return value
        if value not in list(SIZES):  # a list, as not every value is hashable
            raise ValueError(
                f"found {value!r}, expected {', '.join(SIZES)}, or a mapping with width, layers "
                "and heads"
            )
        return SIZES[value]

    @model_serializer(mode="wrap")
    def _name(self, numbers: Any) -> Any:
        found = numbers(self)
        return next((name for name, size in SIZES.items() if size == found), found)

    @model_validator(mode="after")
    def _heads_divide_width(self):
        heads_divide_width(self.width, self.heads)
        return self


class ModelSettings(Section):
    """Fusion, and the Transformer over the fused tokens."""

    fusion: Annotated[FusionSettings, ONE_FUSION] = by_default("bilinear")
    """How modalities are joined; docs/model.md compares the kinds."""
    size: SizeSettings = by_default("nano")
    """Size of the Transformer: nano, micro, small or base, or its width, layers and heads."""
    norm: Norm = "pre"
    """Before each sublayer, or after it as in Vaswani et al. (2017)."""
    dropout: DropoutRate = 0.0
    """Dropout rate in the Transformer."""

    @property
    def transformer(self) -> TransformerShape:
        """Shape of the Transformer."""
        size = self.size
        return TransformerShape(size.width, size.layers, size.heads, self.dropout, self.norm)
