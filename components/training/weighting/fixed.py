"""Fixed loss weights."""

from components.training.weighting.weighting import Weighting


class Fixed(Weighting):
    """The priors alone, throughout training."""

    is_learnt = False
