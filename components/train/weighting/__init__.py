"""Ways to weigh the losses of several tasks against each other: one module a way."""

from components.train.weighting.fixed import Fixed
from components.train.weighting.gradnorm import GradNorm
from components.train.weighting.uncertainty import Uncertainty
from components.train.weighting.weighting import Weighting

WEIGHTINGS: dict[str, type[Weighting]] = {
    "fixed": Fixed,
    "uncertainty": Uncertainty,
    "gradnorm": GradNorm,
}
