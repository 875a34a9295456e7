"""Weights that the user chose."""

from components.training.weighting.weighting import Weighting


class Fixed(Weighting):
    """The priors alone, from the first step to the last."""

    def update(self) -> None:
        """See `Weighting`: there is nothing to learn."""
