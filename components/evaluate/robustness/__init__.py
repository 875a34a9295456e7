"""How much worse a model gets where its media do: corruptions, and suites of them.

Adding a corruption is a function in its modality's module and a line in the `CORRUPTIONS` there.
"""

from collections.abc import Mapping

from components.common.errors import InputError, nearest
from components.evaluate.robustness import missing
from components.modalities.audio import corruptions as audio
from components.modalities.corruption import SEVERITIES, Corruption
from components.modalities.image import corruptions as image
from components.modalities.text import corruptions as text

CORRUPTIONS: dict[str, Corruption] = {
    **image.CORRUPTIONS,
    **text.CORRUPTIONS,
    **audio.CORRUPTIONS,
    **missing.CORRUPTIONS,
}

Suite = tuple[tuple[str, int], ...]  # names of corruptions, each with a severity

QUICK = (
    *("gaussian_noise", "gaussian_blur", "jpeg", "contrast", "occlusion"),
    *("typos", "word_drop", "casing"),
    *("white_noise", "reverberation", "telephone", "fast"),
    *("missing_image", "missing_text", "missing_audio"),
)
SUITES: dict[str, Suite] = {
    "none": (),
    "quick": tuple((name, 3) for name in QUICK),
    "full": tuple((name, severity) for name in CORRUPTIONS for severity in SEVERITIES),
}


def corruption(name: str, severity: int = 1) -> Corruption:
    """A corruption by its name, that has this severity.

    Raises:
        InputError: there is none.
    """
    if name not in CORRUPTIONS:
        raise InputError(f"corruption {name!r}: {nearest(name, list(CORRUPTIONS))}")
    if severity not in SEVERITIES:
        raise InputError(f"corruption {name!r}: found severity {severity!r}, expected 1 to 5")
    return CORRUPTIONS[name]


def suite(name: str) -> Suite:
    """A suite by its name.

    Raises:
        InputError: there is none.
    """
    if name not in SUITES:
        raise InputError(f"suite {name!r}: {nearest(name, list(SUITES))}")
    return SUITES[name]


def corrupted(contents: Mapping[str, bytes], name: str, severity: int) -> dict[str, bytes]:
    """Assets of the corruption's modality, made worse; those that have gone are left out.

    Args:
        contents: files by asset id; any container whose content decides.
        name: of the corruption.
        severity: 1 to 5.

    Returns:
        By the same ids images as PNG, texts as UTF-8, sounds as WAV.

    Raises:
        InputError: there is no such corruption or severity.
    """
    spoil = corruption(name, severity)
    spoilt = ((asset, spoil(severity, asset, content)) for asset, content in contents.items())
    return {asset: content for asset, content in spoilt if content is not None}
