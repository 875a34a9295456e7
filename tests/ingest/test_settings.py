"""Settings of ingest: sources and their options, splits, columns that clash."""

from copy import deepcopy

import pytest

from components.data.samples import id_columns
from components.ingest.settings import IngestStageSettings
from components.modalities.registry import MODALITIES
from tests.support.params import change, settings_problems, shipped

SHAPE = shipped()["tasks"]["shape"]
OTHER = {key: value for key, value in SHAPE.items() if key != "balance"}  # without classes
FIND = {"kind": "retrieval", "column": "shape", "query": "text", "target": "image"}
VOICES = {"train": ["en/150/35"], "validation": ["en/160/35"], "test": ["en/170/35"]}
SPEECH = {"tables": None, "voices": VOICES}


def demo(**options) -> dict:
    return {"kind": "demo", "images": None, **options}


def voices(**splits) -> dict:
    return demo(voices={**VOICES, **splits})


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("seed", -1, "seed: input should be greater than or equal to 0, found -1"),
        ("seed", 1.0, "seed: input should be a valid integer, found 1.0"),
        ("workers", 0, "workers: input should be greater than or equal to 1, found 0"),
        ("ingest.source", "demoo", "ingest.source: found 'demoo'. Did you mean 'demo'? Valid here"),
        ("ingest.source", {"kind": "cocoa"}, "ingest.source: found 'cocoa'. Did you mean 'coco'?"),
        (
            "ingest.source",
            7,
            "ingest.source: found 7, expected demo, digits, table, folders, ",
        ),
        ("ingest.source", demo(image=3), "ingest.source.image: unknown key. Did you mean 'images'"),
        ("ingest.source", demo(images=0), "ingest.source.images: input should be greater than or"),
        ("ingest.source", voices(trian=[]), "ingest.source.voices.trian: unknown key. Did you mea"),
        ("ingest.source", voices(test=[]), "ingest.source.voices.test: tuple should have at least"),
        ("ingest.source", voices(test=["en/fast/50"]), "ingest.source.voices.test.0: found 'en/fa"),
        ("ingest.source", voices(test=["en/500/50"]), "ingest.source.voices.test.0.speed: input s"),
        (
            "ingest.source",
            voices(test=["en/150/35"]),
            "ingest.source.voices: voices are listed twice: en/150/35",
        ),
        ("ingest.source", {"kind": "digits", "babble": 2.0}, "ingest.source.babble: input should"),
        ("ingest.source", {"kind": "digits", "snr": [0.0, -1.0]}, "ingest.source: snr: found [0.0"),
        ("ingest.splits.validation", 0.6, "ingest.splits.validation: input should be less than o"),
        ("ingest.splits.group", "", "ingest.splits.group: string should have at least 1 char"),
        ("ingest.on_leak", "drops", "ingest.on_leak: found 'drops'. Did you mean 'drop'?"),
        ("ingest.max_bad_fraction", 2, "ingest.max_bad_fraction: input should be less than or eq"),
        ("ingest.slices", "voice", "ingest.slices: input should be a valid tuple, found 'voice'"),
        (
            "ingest.speech",
            {},
            "ingest.speech: tables (recorded) or voices (by eSpeak NG) is needed",
        ),
        ("ingest.speech", SPEECH | {"voice": 1}, "ingest.speech.voice: unknown key. Did you mean"),
        ("ingest.slices", ["audio_id"], "columns audio_id of tasks or ingest.slices are reserved"),
        ("tasks.shape.column", "split", "columns split of tasks or ingest.slices are reserved;"),
        ("tasks.shape.column", "image_id", "columns image_id of tasks or ingest.slices are reser"),
        ("tasks.shape", FIND | {"column": "split"}, "columns split of tasks or ingest.slices are"),
        (
            "tasks.shape",
            OTHER | {"column": "voice", "kind": "regression"},
            "columns voice are read by tasks of several kinds, or by a task and as a slice; only",
        ),
        (
            "tasks.shape",
            OTHER | {"column": "voice", "kind": "generation"},
            "columns voice are read by tasks of several kinds",
        ),
        (
            "tasks.shape",
            OTHER | {"column": "answer", "kind": "regression"},
            "columns answer are read by tasks of several kinds",
        ),
    ],
    ids=str,
)
def test_wrong_value_is_named_with_its_key(key, value, expected):
    (line,) = settings_problems(IngestStageSettings, {key: value})
    assert line.startswith(expected)


def test_every_clashing_column_is_named():
    params = change(shipped(), {"tasks.shape.column": "split", "ingest.slices": ["text_id"]})
    (line,) = settings_problems(IngestStageSettings, {k: params[k] for k in ("tasks", "ingest")})
    assert line.startswith("columns split, text_id of tasks or ingest.slices are reserved")


def test_words_of_one_column_may_be_read_several_ways():
    """By classification, by retrieval and as a slice."""
    tasks = shipped()["tasks"] | {"find": FIND, "other": FIND}
    changes = {"tasks": tasks, "ingest.slices": ["shape"]}
    assert settings_problems(IngestStageSettings, changes) == []
    changes["tasks"] = deepcopy(tasks)
    changes["tasks"]["shape"]["kind"] = "multilabel"
    (line,) = settings_problems(IngestStageSettings, changes)
    assert line.startswith("columns shape are read by tasks of several kinds")


def test_tasks_that_share_a_column_have_one_separator():
    kinds = {"kind": "multilabel", "column": "shape"}
    tasks = shipped()["tasks"] | {"shape": kinds, "other": kinds | {"separator": ";"}}
    (line,) = settings_problems(IngestStageSettings, {"tasks": tasks, "ingest.slices": []})
    assert "tasks of one kind with the same separator" in line


@pytest.mark.parametrize("column", id_columns(MODALITIES))
def test_retrieval_may_share_an_id_of_the_samples(column):
    tasks = shipped()["tasks"] | {"find": FIND | {"column": column}}
    assert settings_problems(IngestStageSettings, {"tasks": tasks}) == []


def test_source_may_be_a_word():
    assert settings_problems(IngestStageSettings, {"ingest.source": "digits"}) == []
