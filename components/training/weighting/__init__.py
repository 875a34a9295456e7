"""Ways to weigh the losses of several tasks against each other: one module a way."""

from components.training.weighting.fixed import Fixed
from components.training.weighting.gradnorm import GradNorm
from components.training.weighting.uncertainty import Uncertainty
from components.training.weighting.weighting import Weighting

WEIGHTINGS: dict[str, type[Weighting]] = {
    "fixed": Fixed,
    "uncertainty": Uncertainty,
    "gradnorm": GradNorm,
}
