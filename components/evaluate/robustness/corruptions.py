"""All corruptions by name, and suites of them.

Those of a modality are in its folder; here only assets go missing.
"""

from collections.abc import Sequence

import numpy as np

from components.modalities.corruption import SEVERITIES, Corruption
from components.modalities.registry import MODALITIES, corruptions_of

QUICK_SEVERITY = 3

Suite = Sequence[tuple[str, int]]  # names of corruptions, each with a severity


def remove(content: bytes, fraction: float, rng: np.random.Generator) -> bytes | None:
    """Remove a fraction of the assets."""
    return None if rng.random() < fraction else content


MISSING_ASSETS = {
    f"missing_{m}": Corruption(m, remove, (0.2, 0.4, 0.6, 0.8, 1.0), is_quick=True)
    for m in MODALITIES
}
CORRUPTIONS: dict[str, Corruption] = {
    **{name: made for m in MODALITIES for name, made in corruptions_of(m).items()},
    **MISSING_ASSETS,
}
SUITES: dict[str, Suite] = {
    "none": (),
    "quick": tuple((name, QUICK_SEVERITY) for name, made in CORRUPTIONS.items() if made.is_quick),
    "full": tuple((name, severity) for name in CORRUPTIONS for severity in SEVERITIES),
}


def group(name: str) -> str:
    """Return the group of a corruption in figures: the modality of its assets, or `missing`."""
    return "missing" if name in MISSING_ASSETS else CORRUPTIONS[name].modality
