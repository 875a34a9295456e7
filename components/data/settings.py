"""Settings about the samples that several stages read."""

from typing import Literal

from components.data.samples import HeldOutSplit
from components.stage.settings import Settings

OnConflict = Literal["majority", "soft", "quarantine", "error"]


class ConflictingLabels(Settings):
    """The part of `ingest` that says what encoders learn of an asset with several labels."""

    on_conflict: OnConflict = "majority"


class EvaluatedSplit(Settings):
    """The part of `evaluate` that says which split figures are of."""

    split: HeldOutSplit = "test"
