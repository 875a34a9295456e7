"""VQA v2's files in the published format, with their oddities."""

import pytest

from components.common.errors import InputError
from components.ingest.record import BadRow
from components.ingest.settings import VqaSettings
from components.ingest.sources.vqa import read
from tests.ingest.sources.published import (
    assert_memory_is_flat,
    documented,
    documented_tasks,
    texts,
    told,
    write,
    write_images,
)
from tests.shrunk import png

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
    """All rows of a split of these files."""
    (root / "images").mkdir(exist_ok=True)
    write(root, "questions.json", {**HEADER, "questions": questions})
    split = {**TRAIN, "annotations": None}
    if annotations is not None:
        write(root, "annotations.json", {**HEADER, "annotations": annotations})
        split = TRAIN
    return list(read(settings(train=split), root))


def test_the_how_to_reads_every_question_with_its_ten_answers(tmp_path):
    documentation = documented("VQA v2").vqa
    for number, split in enumerate(documentation.splits.values()):
        image_id = 458752 + number
        write_images(tmp_path, f"{split.images}/{split.name.format(image_id=image_id)}")
        questions = [question(458752000 + 10 * number + n, image_id) for n in range(2)]
        answers = [annotation(q["question_id"], image_id, ODD) for q in questions]
        write(tmp_path, split.questions, {**HEADER, "questions": questions})
        write(tmp_path, split.annotations, {**HEADER, "annotations": answers[::-1]})
    rows = list(read(documentation, tmp_path))
    assert [(row.line, row.split) for row in rows] == [
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


def test_a_split_without_annotations_has_no_answers(tmp_path):
    (row,) = rows_of(tmp_path, [question(1, 9)])
    assert row.columns == {
        "answers": None,
        "answer": None,
        "question_type": None,
        "answer_type": None,
        "question_id": "1",
        "image_id": "9",
    }


def test_the_order_is_the_questions(tmp_path):
    questions = [question(3, 9, "c?"), question(1, 8, "a?"), question(2, 9, "b?")]
    answers = [annotation(n, image, (f"answer {n}",)) for n, image in ((1, 8), (2, 9), (3, 9))]
    rows = rows_of(tmp_path, questions, answers)
    assert list(texts(rows).values()) == ["c?", "a?", "b?"]
    assert [row.columns["answer"] for row in rows] == ["answer 3", "answer 1", "answer 2"]


def test_questions_and_annotations_without_each_other(tmp_path):
    rows = rows_of(
        tmp_path,
        [question(1, 9), question(2, 9)],
        [annotation(7, 9), annotation(2, 9), annotation(8, 9)],
    )
    assert told(rows) == [
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


def test_a_second_annotation_of_a_question_is_bad(tmp_path):
    answers = [annotation(1, 9, ("net",)), annotation(1, 9, ("mesh",)), annotation(1, 9)]
    rows = rows_of(tmp_path, [question(1, 9)], answers)
    assert told(rows) == [
        ("annotations.json:annotations[1]", "annotation_duplicate"),
        ("annotations.json:annotations[2]", "annotation_duplicate"),
        ("questions.json:1", None),
    ]
    assert rows[2].columns["answers"] == ("net",)


def test_an_annotation_of_another_image_is_bad(tmp_path):
    rows = rows_of(tmp_path, [question(1, 9)], [annotation(1, 8)])
    assert told(rows) == [("questions.json:1", "annotation_mismatch")]


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
def test_a_malformed_annotation_makes_its_question_bad_and_no_other(tmp_path, changes, reason):
    answers = [{**annotation(1, 9), **changes}, annotation(2, 9)]
    rows = rows_of(tmp_path, [question(1, 9), question(2, 9)], answers)
    assert told(rows) == [("questions.json:1", reason), ("questions.json:2", None)]


def test_types_that_are_not_given_are_not_known(tmp_path):
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
def test_a_malformed_question_alone_is_bad(tmp_path, entry, place, reason):
    rows = rows_of(tmp_path, [question(1, 9), entry, question(3, 9)])
    assert told(rows) == [
        ("questions.json:1", None),
        (f"questions.json:{place}", reason),
        ("questions.json:3", None),
    ]


def test_annotations_without_a_question_s_id_are_bad(tmp_path):
    rows = rows_of(tmp_path, [question(1, 9)], ["net", annotation(None, 9), annotation(1, 9)])
    assert told(rows) == [
        ("annotations.json:annotations[0]", "row_malformed"),
        ("annotations.json:annotations[1]", "field_missing"),
        ("questions.json:1", None),
    ]


def test_an_id_that_climbs_out_of_the_root(tmp_path):
    (tmp_path / "images").mkdir()
    questions = [question(1, "../../secret"), question(2, "a")]
    write(tmp_path, "questions.json", {**HEADER, "questions": questions})
    split = {**TRAIN, "name": "{image_id}.jpg", "annotations": None}
    rows = list(read(settings(train=split), tmp_path))
    assert told(rows) == [("questions.json:1", "path_outside"), ("questions.json:2", None)]


@pytest.mark.parametrize(
    "name",
    ["picture.jpg", "{id}.jpg", "{}.jpg", "{image_id.real}.jpg", "{image_id:{x}}.jpg", "{image_id"],
)
def test_a_name_that_is_no_pattern_of_image_id_is_refused(name):
    with pytest.raises(ValueError, match="name"):
        settings(train={**TRAIN, "name": name})


@pytest.mark.parametrize("name", ["questions", "annotations"])
@pytest.mark.parametrize(
    ("content", "message"),
    [(b'{"info"', "json is not JSON"), (b'{"info": {}}', "found no element in a list")],
)
def test_a_file_that_is_none_of_vqa_s_is_an_error(tmp_path, name, content, message):
    rows_of(tmp_path, [question(1, 9)], [annotation(1, 9)])
    write(tmp_path, f"{name}.json", content)
    with pytest.raises(InputError, match=message):
        list(read(settings(train=TRAIN), tmp_path))


@pytest.mark.parametrize("name", ["images", "questions", "annotations"])
def test_what_is_missing_is_an_error(tmp_path, name):
    rows_of(tmp_path, [question(1, 9)], [annotation(1, 9)])
    with pytest.raises(InputError, match=rf"vqa.splits.train.{name}: \S+gone does not exist"):
        list(read(settings(train={**TRAIN, name: "gone"}), tmp_path))


def test_two_splits_of_the_same_questions_are_an_error(tmp_path):
    rows_of(tmp_path, [question(1, 9)], [annotation(1, 9)])
    with pytest.raises(InputError, match="have the same name"):
        list(read(settings(train=TRAIN, test={**TRAIN, "annotations": None}), tmp_path))


def test_rows_come_before_the_questions_are_read_to_their_end(tmp_path):
    """A file cut short gives its rows, and then the error."""
    rows_of(tmp_path, [question(n, 9) for n in range(2000)])
    path = tmp_path / "questions.json"
    path.write_bytes(path.read_bytes()[:-20])
    rows = read(settings(train={**TRAIN, "annotations": None}), tmp_path)
    assert next(rows).line == "questions.json:0"
    with pytest.raises(InputError, match="questions.json is not JSON"):
        list(rows)


def test_memory_is_flat(tmp_path):
    (tmp_path / "images").mkdir()

    def prepare(rows):
        questions = [question(n, n // 5, f"Is it {n}?") for n in range(rows)]
        answers = [annotation(n, n // 5) for n in reversed(range(rows))]
        write(tmp_path, "questions.json", {**HEADER, "questions": questions})
        write(tmp_path, "annotations.json", {**HEADER, "annotations": answers})
        return lambda: read(settings(train=TRAIN), tmp_path)

    assert_memory_is_flat(prepare)
