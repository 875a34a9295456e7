"""Corruptions of every modality are pure functions of an asset and a severity."""

import pytest

from components.common.hashing import content_id, fingerprint
from components.modalities.corruption import SEVERITIES, Corruption
from components.modalities.registry import MODALITIES, corruptions_of
from tests.support.corrupting import MEDIA, corrupted
from tests.support.params import ROOT
from tests.support.process import run_python

CORRUPTIONS: dict[str, Corruption] = {
    name: corruption for m in MODALITIES for name, corruption in corruptions_of(m).items()
}
RANDOM = ("gaussian_noise", "typos", "white_noise")  # one per modality
IN_OTHER_PROCESS = """
from tests.modalities.test_corruptions import digest
print(digest())
"""


def digest() -> str:
    """Return a fingerprint of every corruption at every severity."""
    return fingerprint(
        [
            [name, severity, asset, content_id(content)]
            for name, corruption in CORRUPTIONS.items()
            for severity in SEVERITIES
            for asset, content in corrupted(corruption, severity).items()
        ]
    )


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_assets_are_corrupted_independently(name):
    corruption = CORRUPTIONS[name]
    for severity in SEVERITIES:
        alone = {}
        for asset, content in reversed(MEDIA[corruption.modality].items()):
            alone |= corrupted(corruption, severity, {asset: content})
        assert alone == corrupted(corruption, severity)


@pytest.mark.slow  # imports torch anew
def test_other_process_gives_same_bytes():
    run = run_python("-c", IN_OTHER_PROCESS, cwd=ROOT, PYTHONHASHSEED="1")
    assert run.stdout.strip() == digest(), run.stderr


def test_input_is_unchanged():
    before = {m: {asset: bytes(bytearray(c)) for asset, c in MEDIA[m].items()} for m in MODALITIES}
    for corruption in CORRUPTIONS.values():
        corrupted(corruption, 3)
    assert before == MEDIA


@pytest.mark.parametrize("name", RANDOM)
def test_random_numbers_depend_on_asset_id(name):
    content = next(iter(MEDIA[CORRUPTIONS[name].modality].values()))
    one, other, again = (CORRUPTIONS[name](3, asset * 64, content) for asset in "aba")
    assert one != other
    assert one == again
