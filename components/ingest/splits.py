"""Which split a sample belongs to."""

from components.common.hashing import number_from
from components.data.tables import Split
from components.ingest.settings import SplitSettings

WHOLE = 2**63


def choose(given: Split | None, group: str, settings: SplitSettings, seed: int) -> Split:
    """The split of every sample of a group, whatever other groups there are.

    Args:
        given: the split that the source puts it in; None if it says nothing.
        group: what the samples have in common, as the id of their image.
        settings: the shares.
        seed: another seed, other splits.

    Returns:
        `given`, unless that is None or train: then a hash of the group decides whether it is kept
        for test (only if None) or for validation.
    """
    if given is None and number_from(seed, "test", group) < settings.test * WHOLE:
        return "test"
    if given in (None, "train"):
        held_out = number_from(seed, "validation", group) < settings.validation * WHOLE
        return "validation" if held_out else "train"
    return given
