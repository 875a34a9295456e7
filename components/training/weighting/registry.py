"""The registry of loss weightings. Adding one is one module and one line here."""

from components.stage.settings import OneOf
from components.training.weighting.fixed import Fixed
from components.training.weighting.gradnorm import GradNorm
from components.training.weighting.weighting import Weighting

WEIGHTINGS: dict[str, type[Weighting]] = {"fixed": Fixed, "gradnorm": GradNorm}
ONE_WEIGHTING = OneOf({name: weighting.Settings for name, weighting in WEIGHTINGS.items()})
