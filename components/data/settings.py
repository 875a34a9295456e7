"""Settings about the samples that several stages read."""

from components.data.samples import HeldOutSplit
from components.stage.settings import Settings


class EvaluatedSplit(Settings):
    """The part of `evaluate` that says which split figures are of."""

    split: HeldOutSplit = "test"
