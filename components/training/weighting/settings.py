"""Options of loss weightings, without torch, so that checking settings takes no seconds."""

from typing import Annotated, Literal

from pydantic import Field

from components.stage.settings import OneOf, Section


class WeightingSettings(Section):
    """Options of a weighting."""

    kind: str


class FixedSettings(WeightingSettings):
    """No options: the priors decide."""

    kind: Literal["fixed"] = "fixed"


class GradNormSettings(WeightingSettings):
    """Options of GradNorm."""

    kind: Literal["gradnorm"] = "gradnorm"
    alpha: Annotated[float, Field(ge=0, le=10)] = 1.5
    """Pull towards tasks that learn slowly."""


WEIGHTING_SETTINGS: dict[str, type[WeightingSettings]] = {
    "fixed": FixedSettings,
    "gradnorm": GradNormSettings,
}
ONE_WEIGHTING = OneOf(WEIGHTING_SETTINGS)
