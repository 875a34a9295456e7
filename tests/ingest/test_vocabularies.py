"""Labels of the training split decide what a task can learn."""

from pathlib import Path

from components.common.files import read_json
from tests.ingest.stage_rows import GENERATION, good, quarantine, reasons, row, samples
from tests.support.media import png, wav


def test_vocabulary_is_sorted_classes_of_training(ingest):
    rows = [row("a", answer="b"), row("b", answer="a"), row("c", answer=None)]
    rows.append(row("d", "test", answer="b", image=None, audio=None))
    assert ingest(rows) == 0
    assert read_json(Path("vocabulary.json")) == {"answer": {"classes": ["a", "b"]}}


def test_task_with_one_class_is_refused(ingest, capsys):
    assert ingest([row("a"), row("b")]) == 2
    assert "tasks.answer: column 'answer' holds 1 classes ('yes')" in capsys.readouterr().err


def test_training_split_without_samples_is_refused(ingest, capsys):
    assert ingest([row("a", "test"), row("b", "validation", image=png(2), audio=wav(2))]) == 2
    error = capsys.readouterr().err
    assert "no sample is in the training split (1 in test, 1 in validation)" in error
    assert "ingest.splits.group" in error


def test_task_with_one_text_is_refused(ingest, capsys):
    assert ingest(good(2), tasks={"heard": GENERATION}) == 2
    assert "tasks.heard: column 'text' holds one text, 'is it red?'," in capsys.readouterr().err


def test_unknown_label_is_in_quarantine(ingest):
    rows = [*good(2), row("x", "test", "maybe", image=None, audio=None)]
    assert ingest([*rows, row("y", "test", None, image=None, audio=None)]) == 0
    assert reasons() == {"x": "label_unknown"}
    detail = quarantine()["detail"].iloc[0]
    assert detail == "tasks.answer: 'maybe' does not occur in the training split"
    assert list(samples()["sample_id"]) == ["good/0", "good/1", "y"]


def test_assets_of_samples_with_unknown_labels_are_not_counted(ingest):
    unknown = row("x", "test", "maybe", image=png(7), audio=wav(7))
    assert ingest([*good(2), unknown]) == 0
    report = read_json(Path("report.json"))
    assert (report["samples"]["test"], report["assets"]["test"]["image"]) == (0, 0)
    assert (report["labels"]["answer"], report["classes"]["answer"]["train"]) == (
        {"train": 2, "validation": 0, "test": 0},
        {"no": 1, "yes": 1},
    )
