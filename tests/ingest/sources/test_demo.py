"""The demo's labels, splits and voices."""

from collections import defaultdict

import easy_vqa
import pytest

from components.common.errors import InputError
from components.data.tables import SPLITS
from components.ingest.sources.demo import attributes, question_type, read
from tests.shrunk import small_settings

IMAGES = 12


def records(seed=0, fraction=0.3, **changes):
    shares = {"ingest.splits.validation": fraction}
    settings = small_settings({"ingest.demo.images": IMAGES, **shares, **changes}).ingest
    return list(read(settings.demo, settings.splits, seed))


@pytest.fixture(scope="module")
def demo():
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
def test_what_a_question_asks_for(text, kind):
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
def test_attributes_follow_from_questions_and_answers(answered, known):
    assert attributes(iter(answered)) == known


@pytest.mark.parametrize(
    "answered",
    [
        [("is there a circle?", "yes"), ("is there a triangle?", "yes")],
        [("what color is the circle?", "red"), ("is no blue shape present?", "no")],
    ],
)
def test_a_contradiction_is_an_error(answered):
    with pytest.raises(ValueError, match="the questions on one image say"):
        attributes(iter(answered))


def test_no_question_of_the_package_contradicts_another():
    """Over all of easy-VQA: every answer of a question on an attribute agrees with the image's."""
    texts, answers, images = easy_vqa.get_test_questions()
    by_image = defaultdict(list)
    for text, answer, image in zip(texts, answers, images, strict=True):
        by_image[image].append((text, answer))
    for answered in by_image.values():
        shape, colour = attributes(iter(answered))
        for text, answer in answered:
            expected = {"shape": shape, "colour": colour}.get(question_type(text), answer)
            assert answer == expected


def test_the_test_split_is_the_package_s_own(demo):
    texts, answers, images = easy_vqa.get_test_questions()
    kept = sorted(easy_vqa.get_test_image_paths())[:IMAGES]
    expected = [
        (f"test/{number:05d}", text, answer)
        for number, (text, answer, image) in enumerate(zip(texts, answers, images, strict=True))
        if image in kept
    ]
    found = [(r.line, r.media["text"].key, r.columns["answer"]) for r in demo if r.split == "test"]
    assert sorted(found) == expected


def test_no_image_is_in_two_splits_and_every_split_has_some(demo):
    splits = defaultdict(set)
    for record in demo:
        splits[record.media["image"].load()].add(record.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {
        "train", "validation", "test",
    }  # fmt: skip


def test_a_voice_speaks_in_its_own_split_only(demo):
    voices = small_settings().ingest.demo.voices
    of = {voice.name(): split for split in SPLITS for voice in getattr(voices, split)}
    assert {record.columns["voice"] for record in demo} <= of.keys()
    assert all(of[record.columns["voice"]] == record.split for record in demo)


def test_the_shipped_test_split_has_an_accent_that_training_never_heard():
    voices, accents = small_settings().ingest.demo.voices, defaultdict(set)
    for split in SPLITS:
        accents[split] |= {voice.accent for voice in getattr(voices, split)}
    assert accents["test"] - accents["train"] - accents["validation"]
    assert accents["validation"].isdisjoint(accents["train"] | accents["test"])


def test_every_question_has_all_that_a_sample_needs(demo):
    for record in demo:
        assert set(record.media) == {"image", "text", "audio"}
        assert record.media["text"].load().decode() == record.media["text"].key
        assert record.media["audio"].load().startswith(b"RIFF")
        assert record.columns["question_type"] == question_type(record.media["text"].key)
    assert len({record.line for record in demo}) == len(demo)


def test_the_same_seed_gives_the_same_records_and_another_one_others(demo):
    def plain(rows):
        return [
            (r.line, r.split, dict(r.columns), {m: file.load() for m, file in r.media.items()})
            for r in rows
        ]

    assert plain(records()) == plain(demo)
    other = records(seed=1)
    assert {r.line: r.split for r in other} != {r.line: r.split for r in demo}


def test_without_validation_everything_else_is_training():
    assert {record.split for record in records(fraction=0.0)} == {"train", "test"}


def test_an_unknown_voice_in_the_settings_is_named():
    voices = {"train": ["en/150/50"], "validation": ["en/160/50"], "test": ["en-klingon/150/50"]}
    with pytest.raises(InputError, match=r"ingest\.demo\.voices: .*'en-klingon'"):
        records(**{"ingest.demo.voices": voices})
