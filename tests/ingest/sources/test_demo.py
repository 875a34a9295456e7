"""Labels, splits and voices of the demo."""

import sys
from collections import defaultdict
from pathlib import Path

import easy_vqa
import pytest

from components.common.errors import InputError
from components.data.samples import SPLITS
from components.ingest.records import Record
from components.ingest.sources.demo import VOICES, DemoSettings, attributes, question_type, read
from components.ingest.sources.voices import VoiceSettings
from tests.ingest.sources.source_files import contents, context

IMAGES = 6


def records(seed: int = 0, validation: float = 0.3, **options) -> list[Record]:
    """Return the records of the first images of each split."""
    settings = DemoSettings(images=IMAGES, **options)
    return list(read(settings, context(Path(), seed, validation=validation)))


@pytest.fixture(scope="module")
def demo() -> list[Record]:
    return records()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("what shape is in the image?", "shape"),
        ("what is the blue shape?", "shape"),
        ("what shape does the image contain?", "shape"),
        ("what color is the triangle?", "colour"),
        ("what is the color of the shape?", "colour"),
        ("is there a circle?", "presence"),
        ("does the image contain a gray shape?", "presence"),
        ("is no red shape present?", "absence"),
        ("is there not a circle in the image?", "absence"),
        ("does the image not contain a teal shape?", "absence"),
    ],
)
def test_question_type_is_recognised(text, kind):
    assert question_type(text) == kind


@pytest.mark.parametrize(
    ("answered", "known"),
    [
        ([("what color is the circle?", "red")], ("circle", "red")),
        ([("is there a circle?", "yes")], ("circle", None)),
        ([("is there a circle?", "no")], (None, None)),
        ([("is no red shape present?", "no")], (None, "red")),
        ([("is no red shape present?", "yes")], (None, None)),
        ([("does the image not contain a teal shape?", "no")], (None, "teal")),
        ([("what is the blue shape?", "triangle")], ("triangle", "blue")),
        ([("is there a circle?", "no"), ("is there a square?", "yes")], (None, None)),
        ([], (None, None)),
    ],
)
def test_attributes_follow_from_answers(answered, known):
    assert attributes(iter(answered)) == known


@pytest.mark.parametrize(
    "answered",
    [
        [("is there a circle?", "yes"), ("is there a triangle?", "yes")],
        [("what color is the circle?", "red"), ("is no blue shape present?", "no")],
    ],
)
def test_contradiction_is_an_error(answered):
    with pytest.raises(ValueError, match="questions about one image contradict each other"):
        attributes(iter(answered))


def test_package_contradicts_itself_nowhere():
    """Every answer in the test split of easy-VQA agrees with the attributes of its image."""
    texts, answers, images = easy_vqa.get_test_questions()
    by_image = defaultdict(list)
    for text, answer, image in zip(texts, answers, images, strict=True):
        by_image[image].append((text, answer))
    for answered in by_image.values():
        shape, colour = attributes(iter(answered))
        for text, answer in answered:
            expected = {"shape": shape, "colour": colour}.get(question_type(text), answer)
            assert answer == expected


def test_test_split_is_that_of_package(demo):
    texts, answers, images = easy_vqa.get_test_questions()
    kept = sorted(easy_vqa.get_test_image_paths())[:IMAGES]
    expected = [
        (f"test/{number:05d}", text, answer)
        for number, (text, answer, image) in enumerate(zip(texts, answers, images, strict=True))
        if image in kept
    ]
    found = [
        (r.row_id, r.media["text"].key, r.columns["answer"]) for r in demo if r.split == "test"
    ]
    assert sorted(found) == expected


def test_image_is_in_one_split(demo):
    splits = defaultdict(set)
    for record in demo:
        splits[record.media["image"].load()].add(record.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == set(SPLITS)


def test_voice_speaks_in_one_split(demo):
    of = {voice.name(): split for split in SPLITS for voice in getattr(VOICES, split)}
    assert {record.columns["voice"] for record in demo} <= of.keys()
    assert all(of[record.columns["voice"]] == record.split for record in demo)


def test_default_voices_hold_out_accents():
    accents = {split: {voice.accent for voice in getattr(VOICES, split)} for split in SPLITS}
    assert accents["test"] - accents["train"] - accents["validation"]
    assert accents["validation"].isdisjoint(accents["train"] | accents["test"])


def test_question_has_all_modalities(demo):
    for record in demo:
        assert set(record.media) == {"image", "text", "audio"}
        assert record.media["text"].load().decode() == record.media["text"].key
        assert record.media["audio"].load().startswith(b"RIFF")
        assert record.columns["question_type"] == question_type(record.media["text"].key)
    assert len({record.row_id for record in demo}) == len(demo)


def test_records_depend_on_seed_alone(demo):
    assert contents(records()) == contents(demo)
    other = records(seed=1)
    assert {r.row_id: r.split for r in other} != {r.row_id: r.split for r in demo}


def test_validation_can_be_empty():
    assert {record.split for record in records(validation=0.0)} == {"train", "test"}


def test_unknown_voice_is_named():
    words = {"train": "en/150/50", "validation": "en/160/50", "test": "en-klingon/150/50"}
    with pytest.raises(InputError, match=r"ingest\.source\.voices: .*'en-klingon'"):
        records(voices=VoiceSettings.of(words))


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "easy_vqa", None)
    with pytest.raises(InputError, match=r"this source needs the extra 'demo'.*\[demo\]"):
        records()
