"""Fixed loss weights."""

from typing import Literal

from components.training.weighting.weighting import Weighting, WeightingSettings


class FixedSettings(WeightingSettings):
    """No options: the priors decide."""

    kind: Literal["fixed"] = "fixed"


class Fixed(Weighting):
    """The priors alone, throughout training."""

    Settings = FixedSettings
    is_learnt = False
