"""Which split a sample belongs to."""

from typing import Annotated

from pydantic import Field, model_validator

from components.common.hashing import number_from
from components.data.samples import Split
from components.modalities.registry import MODALITIES
from components.stage.settings import Section

WHOLE = 2**63
HeldOut = Annotated[float, Field(ge=0, le=0.5)]


class FoldSettings(Section):
    """One fold of a cross-validation."""

    of: Annotated[int, Field(ge=2)]
    """Number of folds."""
    held_out: Annotated[int, Field(ge=1)]
    """The fold that is held out, counted from 1."""

    @model_validator(mode="after")
    def _is_one_of_them(self):
        if self.held_out > self.of:
            raise ValueError(f"held_out is {self.held_out}, expected at most {self.of}")
        return self


class SplitSettings(Section):
    """How samples get a split that the source does not give.

    That of another row of the group, if the source gives it one; or else a hash of the group
    decides, so that the group is in one split, whatever is added later.
    """

    group: Annotated[str, Field(min_length=1)] = MODALITIES[0]
    """A modality, whose assets are the groups, or a column such as speaker: what may be in one
    split only."""
    validation: HeldOut = 0.1
    """Fraction of the training groups."""
    test: HeldOut = 0.1
    """Fraction of the groups whose split the source does not give."""
    fold: FoldSettings | None = None
    """A fold of the training and validation groups that takes the place of the test split, which
    is left alone; python -m flows.crossvalidate sets it."""

    def holds_out(self, group: str) -> bool:
        """Return whether the fold has a group."""
        return False

    def leaves_alone(self, group: str) -> bool:
        """Return whether no fold may have a group."""
        return False


def choose_split(given: Split | None, group: str, settings: SplitSettings, seed: int) -> Split:
    """Return the split of every sample of a group, which does not depend on other groups.

    It is the one given by the source, unless that is None or train: then a hash of seed and group
    decides whether the group is kept for test (only if None) or for validation. A fold that is held
    out is the test split.
    """
    if settings.holds_out(group):
        return "test"
    if given is None and number_from(seed, "test", group) < settings.test * WHOLE:
        return "test"
    if given in (None, "train"):
        held_out = number_from(seed, "validation", group) < settings.validation * WHOLE
        return "validation" if held_out else "train"
    return given
