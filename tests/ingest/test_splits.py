"""A hash of the group decides the split of samples that the source gives none."""

from collections import Counter

import pytest

from components.ingest.folds import FoldSplits
from components.ingest.settings import IngestStageSettings
from components.ingest.splits import SplitSettings, choose_split
from tests.support.params import settings_problems

SETTINGS = SplitSettings(group="image", validation=0.25, test=0.2)
GROUPS = [f"group {number}" for number in range(4000)]


def choose(given=None, settings: SplitSettings = SETTINGS, seed: int = 0) -> dict[str, str]:
    return {group: choose_split(given, group, settings, seed) for group in GROUPS}


def test_fractions_are_those_of_settings():
    counts = Counter(choose().values())
    assert counts["test"] / len(GROUPS) == pytest.approx(0.2, abs=0.02)
    assert counts["validation"] / len(GROUPS) == pytest.approx(0.8 * 0.25, abs=0.02)


@pytest.mark.parametrize("given", ["validation", "test"])
def test_held_out_splits_of_source_are_kept(given):
    assert set(choose(given).values()) == {given}


def test_validation_is_cut_from_train_of_source():
    assert set(choose("train").values()) == {"train", "validation"}


def test_fold_that_is_held_out_is_test_split():
    fold = FoldSplits(held_out=frozenset(GROUPS[:3]), left_alone=frozenset(), validation=0.0)
    for given in (None, "train", "validation", "test"):
        assert {choose_split(given, group, fold, 0) for group in GROUPS[:3]} == {"test"}
    assert choose_split("train", GROUPS[3], fold, 0) == "train"


@pytest.mark.parametrize(
    ("fold", "problem"),
    [
        ({"of": 1, "held_out": 1}, "ingest.splits.fold.of"),
        ({"of": 5, "held_out": 0}, "ingest.splits.fold.held_out"),
        ({"of": 5, "held_out": 6}, "held_out is 6, expected at most 5"),
        ({"of": 5}, "ingest.splits.fold.held_out: the key is missing"),
    ],
)
def test_impossible_fold_is_refused(fold, problem):
    found = settings_problems(IngestStageSettings, {"ingest.splits.fold": fold})
    assert len(found) == 1 and problem in found[0]


def test_groups_do_not_depend_on_each_other():
    assert choose_split(None, GROUPS[7], SETTINGS, 0) == choose()[GROUPS[7]]
    assert choose(seed=1) != choose()


def test_larger_fraction_only_adds_groups():
    larger = choose(settings=SETTINGS.model_copy(update={"test": 0.4}))
    assert {g for g, split in choose().items() if split == "test"} < {
        g for g, split in larger.items() if split == "test"
    }
