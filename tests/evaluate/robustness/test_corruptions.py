"""The registry of corruptions, suites of them, and assets that go missing."""

from itertools import pairwise
from typing import get_args, get_type_hints

import pytest

from components.common.hashing import content_id
from components.evaluate.evaluation.settings import EvaluationArguments
from components.evaluate.robustness.corruptions import (
    CORRUPTIONS,
    MISSING_ASSETS,
    QUICK_SEVERITY,
    SUITES,
    group,
)
from components.modalities.corruption import SEVERITIES
from components.modalities.registry import MODALITIES, corruptions_of
from flows.settings import Suite
from tests.support.corrupting import corrupted
from tests.support.params import ROOT

QUICK = {
    *("gaussian_noise", "gaussian_blur", "jpeg", "contrast", "occlusion"),
    *("typos", "word_drop", "casing"),
    *("white_noise", "reverberation", "telephone", "fast"),
    *("missing_cells", "number_noise"),
    *("missing_image", "missing_text", "missing_audio", "missing_tabular"),
}


@pytest.mark.parametrize("name", MISSING_ASSETS)
def test_missing_assets_stay_missing(name):
    """Higher severities remove more, and other assets are unchanged."""
    many = {content_id(bytes([n, k])): bytes([n]) for n in range(200) for k in range(5)}
    left = [corrupted(MISSING_ASSETS[name], severity, many) for severity in SEVERITIES]
    for mild, severe in pairwise(left):
        assert severe.keys() <= mild.keys()
    for severity, found in enumerate(left, 1):
        assert all(many[asset] == content for asset, content in found.items())
        assert len(found) / len(many) == pytest.approx(1 - severity / 5, abs=0.05)


def test_registry_has_corruptions_of_every_modality():
    own = [corruptions_of(m) for m in MODALITIES]
    assert len(CORRUPTIONS) == sum(map(len, own)) + len(MODALITIES)  # no two of the same name
    for m, found in zip(MODALITIES, own, strict=True):
        assert found and all(CORRUPTIONS[name] is made for name, made in found.items())
        assert {made.modality for made in found.values()} == {m}
        assert MISSING_ASSETS[f"missing_{m}"].modality == m


def test_groups_are_modalities_and_missing():
    assert {group(name) for name in MISSING_ASSETS} == {"missing"}
    assert {group(name) for name in CORRUPTIONS} == {*MODALITIES, "missing"}
    assert group("typos") == "text"


def test_suites_contain_known_corruptions():
    assert SUITES["none"] == ()
    assert len(SUITES["full"]) == len(set(SUITES["full"])) == 5 * len(CORRUPTIONS)
    assert set(SUITES["quick"]) == {(name, QUICK_SEVERITY) for name in QUICK}
    for chosen in SUITES.values():
        assert all(name in CORRUPTIONS and severity in SEVERITIES for name, severity in chosen)


def test_settings_and_command_know_every_suite():
    argument = get_type_hints(EvaluationArguments)["suite"]
    assert set(SUITES) == set(get_args(Suite)) == set(get_args(argument))


def test_every_corruption_is_documented():
    documented = (ROOT / "docs/robustness.md").read_text()
    assert [name for name in CORRUPTIONS if f"`{name}`" not in documented] == []
