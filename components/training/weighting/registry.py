"""The registry of loss weightings; their options are in the module `settings`."""

from components.training.weighting.fixed import Fixed
from components.training.weighting.gradnorm import GradNorm
from components.training.weighting.weighting import Weighting

WEIGHTINGS: dict[str, type[Weighting]] = {"fixed": Fixed, "gradnorm": GradNorm}
