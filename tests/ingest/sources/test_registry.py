"""Every source has its own options, which `ingest.source` names."""

import pytest

from components.ingest.settings import IngestStageSettings
from components.ingest.sources import demo, digits
from components.ingest.sources.registry import SOURCES
from components.ingest.sources.source import SourceSettings
from components.stage.settings import problems
from tests.support.params import small_params, small_settings

COLUMNS = {"image": "photo", "text": "caption"}
OPTIONS = {  # kind → options that have no defaults
    "demo": {},
    "digits": {},
    "table": {"files": ["*.csv"], "columns": COLUMNS},
    "folders": {"modality": "image"},
    "coco": {"splits": {"train": {"images": "train", "captions": "captions.json"}}},
    "flickr30k": {"images": "images", "captions": "captions.token"},
    "vqa": {"splits": {"train": {"images": "i", "name": "{image_id}.jpg", "questions": "q.json"}}},
    "huggingface": {"path": "pets", "columns": COLUMNS},
}


def source(value) -> SourceSettings:
    """Return the settings of a source."""
    return small_settings(IngestStageSettings, {"ingest.source": value}).ingest.source


def complaints(value) -> list[str]:
    """Return what is wrong with a source."""
    return list(problems(small_params({"ingest.source": value}), IngestStageSettings))


def test_every_kind_has_options():
    assert OPTIONS.keys() == SOURCES.keys()


@pytest.mark.parametrize("kind", OPTIONS)
def test_options_are_those_of_kind(kind):
    found = source({"kind": kind, **OPTIONS[kind]})
    assert type(found) is SOURCES[kind].settings
    assert found.kind == kind


@pytest.mark.parametrize("kind", ["demo", "digits"])
def test_word_equals_mapping_with_kind(kind):
    assert source(kind) == source({"kind": kind})


def test_mapping_without_kind_is_table():
    assert source(OPTIONS["table"]) == source({"kind": "table", **OPTIONS["table"]})


@pytest.mark.parametrize("kind", [kind for kind, options in OPTIONS.items() if options])
def test_word_alone_lacks_required_options(kind):
    keys = OPTIONS[kind]
    assert sorted(complaints(kind)) == sorted(
        f"ingest.source.{key}: the key is missing" for key in keys
    )


@pytest.mark.parametrize("value", ["tabel", {"kind": "tabel", "files": ["*.csv"]}])
def test_unknown_kind_suggests_nearest(value):
    assert complaints(value) == [
        f"ingest.source: found 'tabel'. Did you mean 'table'? Valid here: {', '.join(SOURCES)}"
    ]


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("demo", {"imgaes": 3}, "imgaes: unknown key. Did you mean 'images'?"),
        ("digits", {"bable": 0.1}, "bable: unknown key. Did you mean 'babble'?"),
        ("table", {"file": "a.csv"}, "file: unknown key. Did you mean 'files'?"),
        ("flickr30k", {"image": "x"}, "image: unknown key. Did you mean 'images'?"),
        ("huggingface", {"paht": "x"}, "paht: unknown key. Did you mean 'path'?"),
        (
            "coco",
            {"splits": {"train": {**OPTIONS["coco"]["splits"]["train"], "caption": "x"}}},
            "splits.train.caption: unknown key. Did you mean 'captions'?",
        ),
        (
            "vqa",
            {"splits": {"train": {**OPTIONS["vqa"]["splits"]["train"], "question": "x"}}},
            "splits.train.question: unknown key. Did you mean 'questions'?",
        ),
    ],
)
def test_unknown_option_suggests_nearest(kind, changes, expected):
    (line,) = complaints({"kind": kind, **OPTIONS[kind], **changes})
    assert line.startswith(f"ingest.source.{expected} Valid here: ")


def test_options_of_other_kind_are_refused():
    (line,) = complaints({"kind": "demo", "babble": 0.1})
    assert line == "ingest.source.babble: unknown key. Valid here: kind, images, voices"


@pytest.mark.parametrize("kind", ["table", "huggingface"])
def test_columns_map_modalities(kind):
    columns = COLUMNS | {"tabular": ["age", "breed"]}
    found = source({"kind": kind, **OPTIONS[kind], "columns": columns, "split": "part"})
    assert found.columns["tabular"] == ("age", "breed")
    assert found.mapped() == [
        ("columns.image", "photo"),
        ("columns.text", "caption"),
        *(("columns.tabular", "age"), ("columns.tabular", "breed")),
        ("split", "part"),
    ]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"imgae": "photo"}, "columns.imgae: found 'imgae'. Did you mean 'image'? Valid here: im"),
        ({"text": 3}, "columns.text: found 3, expected the name of a column, or a list"),
        ({}, "columns: dictionary should have at least 1 item"),
        ("photo", "columns: found 'photo', expected a mapping"),
    ],
)
def test_wrong_columns_are_named(columns, expected):
    (line,) = complaints({"kind": "table", "files": ["*.csv"], "columns": columns})
    assert line.startswith(f"ingest.source.{expected}")


@pytest.mark.parametrize("module", [demo, digits])
def test_voices_have_defaults(module):
    kind = module.__name__.rpartition(".")[2]
    assert source(kind).voices == module.VOICES


def test_voices_replace_defaults_as_a_whole():
    voices = {"train": ["en/150/35"], "validation": ["de/160/45"], "test": ["en-us/170/50"]}
    found = source({"kind": "demo", "voices": voices}).voices
    assert found.model_dump() == {split: tuple(names) for split, names in voices.items()}
    del voices["test"]
    assert complaints({"kind": "demo", "voices": voices}) == [
        "ingest.source.voices.test: the key is missing"
    ]
