"""Options of fusions, without torch, so that checking settings takes no seconds."""

from typing import Literal

from components.stage.settings import Count, OneOf, Section


class FusionSettings(Section):
    """Options of a fusion."""

    kind: str


class BilinearSettings(FusionSettings):
    """Options of bilinear pooling."""

    kind: Literal["bilinear"] = "bilinear"
    rank: Count = 128
    """Rank of the products."""


class GatedSettings(FusionSettings):
    """No options."""

    kind: Literal["gated"] = "gated"


class TensorSettings(FusionSettings):
    """Options of the outer product."""

    kind: Literal["tensor"] = "tensor"
    rank: Count = 128
    """Rank of the product."""


class ConcatSettings(FusionSettings):
    """No options."""

    kind: Literal["concat"] = "concat"


class AttentionSettings(FusionSettings):
    """No options."""

    kind: Literal["attention"] = "attention"


class BottleneckSettings(FusionSettings):
    """Options of bottleneck tokens."""

    kind: Literal["bottleneck"] = "bottleneck"
    bottleneck_tokens: Count = 4
    """Through which modalities exchange."""


class LateSettings(FusionSettings):
    """No options."""

    kind: Literal["late"] = "late"


FUSION_SETTINGS: dict[str, type[FusionSettings]] = {
    "bilinear": BilinearSettings,
    "gated": GatedSettings,
    "tensor": TensorSettings,
    "concat": ConcatSettings,
    "attention": AttentionSettings,
    "bottleneck": BottleneckSettings,
    "late": LateSettings,
}
ONE_FUSION = OneOf(FUSION_SETTINGS)
