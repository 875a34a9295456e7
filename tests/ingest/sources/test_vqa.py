"""VQA v2: files in the published format, with their oddities."""

import pytest

from components.common.errors import InputError
from components.ingest.records import BadRow
from components.ingest.sources.vqa import VqaSettings, read
from tests.ingest.sources.documented import documented, documented_tasks
from tests.ingest.sources.source_files import (
    assert_memory_is_flat,
    context,
    outcomes,
    texts,
    write,
    write_images,
)
from tests.support.media import png

HEADER = {
    "info": {"description": "This is v2.0 of the VQA dataset.", "version": "2.0"},
    "task_type": "Open-Ended",
    "data_type": "mscoco",
    "license": {"url": "http://creativecommons.org/licenses/by/4.0/"},
    "data_subtype": "train2014",
}
ODD = ["net", "a net", "netting", "1,000", "yes, two", "mesh", " net ", "", "网", "net"]
TRAIN = {
    "images": "images",
    "name": "COCO_train2014_{image_id:012d}.jpg",
    "questions": "questions.json",
    "annotations": "annotations.json",
}


def question(number, image_id, text="What is this photo taken looking through?") -> dict:
    return {"image_id": image_id, "question": text, "question_id": number}


def annotation(number, image_id, answers=("net",) * 10) -> dict:
    return {
        "question_type": "what is this",
        "multiple_choice_answer": answers[0],
        "answers": [
            {"answer": answer, "answer_confidence": "yes", "answer_id": n}
            for n, answer in enumerate(answers, start=1)
        ],
        "image_id": image_id,
        "answer_type": "other",
        "question_id": number,
    }


def settings(**splits) -> VqaSettings:
    return VqaSettings.model_validate({"splits": splits})


def rows_of(root, questions, annotations=None):
    """Return all rows of a split with these files."""
    (root / "images").mkdir(exist_ok=True)
    write(root, "questions.json", {**HEADER, "questions": questions})
    split = {**TRAIN, "annotations": None}
    if annotations is not None:
        write(root, "annotations.json", {**HEADER, "annotations": annotations})
        split = TRAIN
    return list(read(settings(train=split), context(root)))


def test_documented_settings_read_questions_with_ten_answers(tmp_path):
    settings_shown = documented("VQA v2").source
    for number, split in enumerate(settings_shown.splits.values()):
        image_id = 458752 + number
        write_images(tmp_path, f"{split.images}/{split.name.format(image_id=image_id)}")
        questions = [question(458752000 + 10 * number + n, image_id) for n in range(2)]
        answers = [annotation(q["question_id"], image_id, ODD) for q in questions]
        write(tmp_path, split.questions, {**HEADER, "questions": questions})
        write(tmp_path, split.annotations, {**HEADER, "annotations": answers[::-1]})
    rows = list(read(settings_shown, context(tmp_path)))
    assert [(row.row_id, row.split) for row in rows] == [
        ("v2_OpenEnded_mscoco_train2014_questions.json:458752000", "train"),
        ("v2_OpenEnded_mscoco_train2014_questions.json:458752001", "train"),
        ("v2_OpenEnded_mscoco_val2014_questions.json:458752010", "test"),
        ("v2_OpenEnded_mscoco_val2014_questions.json:458752011", "test"),
    ]
    assert rows[0].columns == {
        "answers": tuple(ODD),
        "answer": "net",
        "question_type": "what is this",
        "answer_type": "other",
        "question_id": "458752000",
        "image_id": "458752",
    }
    assert rows[0].media["image"].key == "coco/train2014/COCO_train2014_000000458752.jpg"
    assert rows[0].media["image"].load() == png(0)
    assert rows[0].media["text"].load() == b"What is this photo taken looking through?"
    (task,) = documented_tasks("VQA v2")
    assert task.kind == "vqa"
    assert len(rows[0].columns[task.column]) == 10


def test_split_without_annotations_has_no_answers(tmp_path):
    (row,) = rows_of(tmp_path, [question(1, 9)])
    assert row.columns == {
        "answers": None,
        "answer": None,
        "question_type": None,
        "answer_type": None,
        "question_id": "1",
        "image_id": "9",
    }


def test_order_is_that_of_questions(tmp_path):
    questions = [question(3, 9, "c?"), question(1, 8, "a?"), question(2, 9, "b?")]
    answers = [annotation(n, image, (f"answer {n}",)) for n, image in ((1, 8), (2, 9), (3, 9))]
    rows = rows_of(tmp_path, questions, answers)
    assert list(texts(rows).values()) == ["c?", "a?", "b?"]
    assert [row.columns["answer"] for row in rows] == ["answer 3", "answer 1", "answer 2"]


def test_unmatched_question_or_annotation_is_bad(tmp_path):
    rows = rows_of(
        tmp_path,
        [question(1, 9), question(2, 9)],
        [annotation(7, 9), annotation(2, 9), annotation(8, 9)],
    )
    assert outcomes(rows) == [
        ("questions.json:1", "annotation_missing"),
        ("questions.json:2", None),
        ("annotations.json:annotations[0]", "question_missing"),
        ("annotations.json:annotations[2]", "question_missing"),
    ]
    assert rows[2] == BadRow(
        "annotations.json:annotations[0]",
        "7",
        "question_missing",
        "question 7 is not in questions.json",
    )


def test_second_annotation_of_question_is_bad(tmp_path):
    answers = [annotation(1, 9, ("net",)), annotation(1, 9, ("mesh",)), annotation(1, 9)]
    rows = rows_of(tmp_path, [question(1, 9)], answers)
    assert outcomes(rows) == [
        ("annotations.json:annotations[1]", "annotation_duplicate"),
        ("annotations.json:annotations[2]", "annotation_duplicate"),
        ("questions.json:1", None),
    ]
    assert rows[2].columns["answers"] == ("net",)


def test_annotation_of_other_image_is_bad(tmp_path):
    rows = rows_of(tmp_path, [question(1, 9)], [annotation(1, 8)])
    assert outcomes(rows) == [("questions.json:1", "annotation_mismatch")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"answers": None}, "field_missing"),
        ({"answers": []}, "field_invalid"),
        ({"answers": "net"}, "field_invalid"),
        ({"answers": [{"answer": 2}]}, "field_invalid"),
        ({"answers": [{"answer": "two"}, {}]}, "field_missing"),
        ({"answers": ["two"]}, "row_malformed"),
        ({"multiple_choice_answer": 2}, "field_invalid"),
        ({"image_id": [9]}, "field_invalid"),
    ],
)
def test_malformed_annotation_costs_one_row(tmp_path, changes, reason):
    answers = [{**annotation(1, 9), **changes}, annotation(2, 9)]
    rows = rows_of(tmp_path, [question(1, 9), question(2, 9)], answers)
    assert outcomes(rows) == [("questions.json:1", reason), ("questions.json:2", None)]


def test_missing_types_are_null(tmp_path):
    answers = annotation(1, 9)
    del answers["question_type"], answers["answer_type"], answers["image_id"]
    (row,) = rows_of(tmp_path, [question(1, 9)], [answers])
    assert (row.columns["answer"], row.columns["question_type"]) == ("net", None)


@pytest.mark.parametrize(
    ("entry", "place", "reason"),
    [
        ({"question": "?", "question_id": 2}, "2", "field_missing"),
        ({"image_id": 9, "question_id": 2}, "2", "field_missing"),
        ({"image_id": 9, "question": 3, "question_id": 2}, "2", "field_invalid"),
        ({"image_id": "nine", "question": "?", "question_id": 2}, "2", "field_invalid"),
        ({"image_id": 9, "question": "?"}, "questions[1]", "field_missing"),
        ("?", "questions[1]", "row_malformed"),
    ],
)
def test_malformed_question_costs_one_row(tmp_path, entry, place, reason):
    rows = rows_of(tmp_path, [question(1, 9), entry, question(3, 9)])
    assert outcomes(rows) == [
        ("questions.json:1", None),
        (f"questions.json:{place}", reason),
        ("questions.json:3", None),
    ]


def test_annotation_without_question_id_is_bad(tmp_path):
    rows = rows_of(tmp_path, [question(1, 9)], ["net", annotation(None, 9), annotation(1, 9)])
    assert outcomes(rows) == [
        ("annotations.json:annotations[0]", "row_malformed"),
        ("annotations.json:annotations[1]", "field_missing"),
        ("questions.json:1", None),
    ]


def test_id_outside_root_is_bad(tmp_path):
    (tmp_path / "images").mkdir()
    questions = [question(1, "../../secret"), question(2, "a")]
    write(tmp_path, "questions.json", {**HEADER, "questions": questions})
    split = {**TRAIN, "name": "{image_id}.jpg", "annotations": None}
    rows = list(read(settings(train=split), context(tmp_path)))
    assert outcomes(rows) == [("questions.json:1", "path_outside"), ("questions.json:2", None)]


@pytest.mark.parametrize(
    "name",
    ["picture.jpg", "{id}.jpg", "{}.jpg", "{image_id.real}.jpg", "{image_id:{x}}.jpg", "{image_id"],
)
def test_name_must_be_pattern_of_image_id(name):
    with pytest.raises(ValueError, match="name"):
        settings(train={**TRAIN, "name": name})


@pytest.mark.parametrize("name", ["questions", "annotations"])
@pytest.mark.parametrize(
    ("content", "message"),
    [(b'{"info"', "json is not JSON"), (b'{"info": {}}', "found no element in a list")],
)
def test_file_of_other_format_is_refused(tmp_path, name, content, message):
    rows_of(tmp_path, [question(1, 9)], [annotation(1, 9)])
    write(tmp_path, f"{name}.json", content)
    with pytest.raises(InputError, match=message):
        list(read(settings(train=TRAIN), context(tmp_path)))


@pytest.mark.parametrize("name", ["images", "questions", "annotations"])
def test_paths_in_settings_must_exist(tmp_path, name):
    rows_of(tmp_path, [question(1, 9)], [annotation(1, 9)])
    with pytest.raises(InputError, match=rf"source.splits.train.{name}: \S+gone does not exist"):
        list(read(settings(train={**TRAIN, name: "gone"}), context(tmp_path)))


def test_files_of_same_name_are_refused(tmp_path):
    rows_of(tmp_path, [question(1, 9)], [annotation(1, 9)])
    with pytest.raises(InputError, match="have the same name"):
        list(read(settings(train=TRAIN, test={**TRAIN, "annotations": None}), context(tmp_path)))


def test_questions_are_read_as_stream(tmp_path):
    """A truncated file gives its rows, then the error."""
    rows_of(tmp_path, [question(n, 9) for n in range(2000)])
    path = tmp_path / "questions.json"
    path.write_bytes(path.read_bytes()[:-20])
    rows = read(settings(train={**TRAIN, "annotations": None}), context(tmp_path))
    assert next(rows).row_id == "questions.json:0"
    with pytest.raises(InputError, match="questions.json is not JSON"):
        list(rows)


def test_memory_is_flat(tmp_path):
    (tmp_path / "images").mkdir()

    def prepare(rows):
        questions = [question(n, n // 5, f"Is it {n}?") for n in range(rows)]
        answers = [annotation(n, n // 5) for n in reversed(range(rows))]
        write(tmp_path, "questions.json", {**HEADER, "questions": questions})
        write(tmp_path, "annotations.json", {**HEADER, "annotations": answers})
        return lambda: read(settings(train=TRAIN), context(tmp_path))

    assert_memory_is_flat(prepare)
