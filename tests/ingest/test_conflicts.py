"""Assets with several labels of a task that their modality alone decides."""

import logging
from pathlib import Path

import pytest

from components.common.files import read_json
from components.common.hashing import content_id
from components.ingest.records import Record
from tests.ingest.stage_rows import TASK, reasons, row, samples
from tests.support.media import png

DECIDED = {"answer": TASK | {"sufficient_modalities": ["image"]}}


@pytest.fixture
def rows() -> list[Record]:
    """Twenty images, two of which have both labels."""
    once = [row(str(n), answer=str(n % 2), image=png(n)) for n in range(20)]
    return [*once, row("again", answer="1", image=png(0)), row("twice", answer="0", image=png(1))]


def test_every_conflict_is_named_at_once(ingest, caplog, rows):
    caplog.set_level(logging.WARNING)
    assert ingest(rows, DECIDED, page=True) == 0
    (warning,) = [line.getMessage() for line in caplog.records]
    assert warning.startswith("tasks.answer: 2 of 20 image assets have several labels in column")
    assert all(f"{content_id(png(n))[:12]} has '0' and '1'" in warning for n in (0, 1))
    assert "its encoder learns the most frequent label" in warning
    assert len(samples()) == len(rows)
    assert read_json(Path("report.json"))["conflicts"] == {"answer, image": 2}
    assert content_id(png(0)) in Path("page.html").read_text()


def test_conflicts_go_to_quarantine(ingest, rows):
    """Samples with the same image and without a label of the task stay."""
    rows.append(row("unlabelled", answer=None, image=png(0)))
    assert ingest(rows, DECIDED, on_conflict="quarantine") == 0
    assert reasons() == dict.fromkeys(["0", "1", "again", "twice"], "label_conflict")
    assert "unlabelled" in set(samples()["sample_id"])


def test_encoders_learn_all_labels_if_settings_say_so(ingest, caplog, rows):
    """However many assets have several."""
    caplog.set_level(logging.WARNING)
    rows += [row(f"{n} again", answer=str((n + 1) % 2), image=png(n)) for n in range(2, 20)]
    assert ingest(rows, DECIDED, on_conflict="soft") == 0
    assert "20 of 20 image assets" in caplog.text and "learns how often it has each" in caplog.text
    assert len(samples()) == len(rows)


def test_numbers_are_not_soft(ingest, capfd):
    task = {"kind": "regression", "column": "answer", "sufficient_modalities": ["image"]}
    rows = [row(str(n), answer=n, image=png(n // 2)) for n in range(20)]
    assert ingest(rows, {"size": task}, on_conflict="soft") == 2
    error = capfd.readouterr().err
    assert "10 of 10 image assets" in error and "or set ingest.on_conflict: quarantine" in error


def test_conflicts_are_errors_if_settings_say_so(ingest, capfd, rows):
    assert ingest(rows, DECIDED, on_conflict="error") == 2
    error = capfd.readouterr().err
    assert "2 of 20 image assets" in error and "ingest.on_conflict: majority" in error


def test_modality_that_does_not_decide_is_refused(ingest, capfd, rows):
    """Its encoder would learn noise."""
    rows.append(row("third", answer="1", image=png(2)))
    assert ingest(rows, DECIDED) == 2
    error = capfd.readouterr().err
    assert "3 of 20 image assets" in error
    assert "remove the modality from sufficient_modalities" in error


def test_several_right_texts_are_no_conflict(ingest, caplog):
    caplog.set_level(logging.WARNING)
    task = {"kind": "generation", "column": "answer", "vocab_size": 260, "max_tokens": 9}
    task |= {"sufficient_modalities": ["image"]}
    rows = [row(str(n), answer=f"caption {n}", image=png(n // 2)) for n in range(6)]
    assert ingest(rows, {"caption": task}) == 0
    assert "several labels" not in caplog.text


def test_labels_of_other_modalities_are_free(ingest, caplog, rows):
    caplog.set_level(logging.WARNING)
    assert ingest(rows) == 0
    assert not caplog.records
