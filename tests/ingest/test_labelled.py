"""Labels that are missing where figures are made are noticed before training."""

import logging
from pathlib import Path

import pytest

from components.common.files import read_json
from tests.ingest.stage_rows import TASK, good, row

TASKS = {"answer": TASK, "voice": {"kind": "classification", "column": "spoken"}}
LOG = "components.ingest.labelled"


def rows(**held_out: tuple[str | None, str | None]) -> list:
    """Return labelled training rows, and one held-out row per split with its labels."""
    train = [row(str(n), answer=str(n % 2), columns={"spoken": str(n % 2)}) for n in range(4)]
    return train + [
        row(split, split, answer, {"spoken": spoken}, image=None, audio=None)
        for split, (answer, spoken) in held_out.items()
    ]


@pytest.mark.parametrize(
    ("held_out", "split", "found"),
    [
        ({}, "test", "no sample is in the test split"),
        ({}, "validation", "no sample is in the validation split"),
        ({"validation": ("0", "1")}, "test", "no sample is in the test split"),
        (
            {"test": (None, None)},
            "test",
            "none of the 1 samples of the test split has a label of answer, voice",
        ),
    ],
)
def test_data_that_cannot_be_measured_is_refused(ingest, capfd, held_out, split, found):
    """At once, with the setting that helps."""
    assert ingest(rows(**held_out), TASKS, measurable=True, split=split) == 2
    error = capfd.readouterr().err
    assert f"{found}, so nothing could be measured after training" in error
    ways = {"test": ("ingest.splits.test", "evaluate.split: validation")}
    assert all(way in error for way in ways.get(split, ("ingest.splits.validation",)))


def test_test_split_without_a_learnt_modality_is_refused(ingest, capfd):
    train = [row(str(n), answer=str(n % 2), image=None) for n in range(4)]
    blind = row("blind", "test", "1", text=None, audio=None, tabular=None)
    assert ingest([*train, blind], measurable=True) == 2
    assert "no sample of the test split has text or audio or tabular" in capfd.readouterr().err


def test_labelled_validation_split_is_enough_if_settings_say_so(ingest):
    assert ingest(rows(validation=("0", "1")), TASKS, measurable=True, split="validation") == 0


def test_each_task_without_labels_is_named(ingest, caplog):
    caplog.set_level(logging.WARNING)
    found = rows(test=("0", None), validation=(None, "1"))
    assert ingest(found, TASKS, measurable=True) == 0
    warnings = [line.getMessage() for line in caplog.records if line.name == LOG]
    assert len(warnings) == 2
    assert warnings[0].startswith("tasks.answer: no sample of the validation split has a label")
    assert warnings[1].startswith("tasks.voice: no sample of the test split has a label")
    assert "evaluate.split: validation" in warnings[1]
    assert read_json(Path("report.json"))["labels"] == {
        "answer": {"train": 4, "validation": 0, "test": 1},
        "voice": {"train": 4, "validation": 1, "test": 0},
    }


def test_labelled_splits_need_no_warning(ingest, caplog):
    caplog.set_level(logging.WARNING)
    held_out = [row(split, split, image=None, audio=None) for split in ("validation", "test")]
    assert ingest([*good(4), *held_out], measurable=True) == 0
    assert LOG not in {line.name for line in caplog.records}


@pytest.mark.parametrize(("held_out", "is_named"), [(2, False), (5, True)])
def test_training_split_that_is_smaller_than_what_is_measured_is_named(
    ingest, caplog, held_out, is_named
):
    media = [{"image": None, "audio": None, "text": b"text %d" % n} for n in range(held_out)]
    test = [row(f"test {n}", "test", "0", **media[n]) for n in range(held_out)]
    assert ingest([*rows(), *test], measurable=True) == 0
    named = "only 4 samples are for training, and 5 in the test split; a group" in caplog.text
    assert named == is_named
