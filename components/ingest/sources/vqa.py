"""VQA v2: questions on images, each with ten answers, as `*_questions.json` and
`*_annotations.json`.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from components.data.tables import Split
from components.ingest.record import BadRow, Media, Record, Rows, Value
from components.ingest.settings import VqaSettings
from components.ingest.sources.streaming import (
    Folder,
    Lookup,
    RowError,
    file,
    folder,
    identity,
    items,
    line_of,
    present,
    refuse_same_name,
    string,
)

LABELS = {  # column: field of an annotation
    "answer": "multiple_choice_answer",
    "question_type": "question_type",
    "answer_type": "answer_type",
}


@dataclass(frozen=True)
class Part:
    """One split: its folder of images, how their files are called, questions and answers."""

    split: Split
    images: Folder
    name: str
    questions: Path
    annotations: Path | None


def read(settings: VqaSettings, root: Path) -> Rows:
    """One record a question, split by split, in the order of the questions file.

    Each has the columns `answers` (all of them as written, in the file's order), `answer`,
    `question_type`, `answer_type`, `question_id` and `image_id`. Without an annotations file, as in
    a test split, the first four are None.

    Raises:
        InputError: a file or folder is missing, is not JSON, or lists no questions or annotations.
    """
    parts = []
    for split, named in settings.splits.items():
        setting = f"ingest.vqa.splits.{split}"
        parts.append(
            Part(
                split,
                folder(root, named.images, f"{setting}.images"),
                named.name,
                file(root, named.questions, f"{setting}.questions"),
                named.annotations and file(root, named.annotations, f"{setting}.annotations"),
            )
        )
    refuse_same_name([path for p in parts for path in (p.questions, p.annotations) if path])
    for part in parts:
        yield from _read_part(part)


def _read_part(part: Part) -> Rows:
    with closing(Lookup()) as annotations:
        if part.annotations:
            yield from _list_annotations(part.annotations, annotations)
        for place, item in items(part.questions, "questions"):
            line = line_of(part.questions, item, "question_id", place)
            try:
                found = annotations.take(identity(item, "question_id"))
                for extra in found[1:]:
                    yield _extra(extra, found[0])
                yield _record(part, line, item, found[0] if found else None)
            except RowError as error:
                yield error.at(line)
        for question_id, annotation in annotations.rest():
            detail = f"question {question_id} is not in {part.questions.name}"
            yield BadRow(annotation["place"], question_id, "question_missing", detail)


def _list_annotations(path: Path, annotations: Lookup) -> Iterator[BadRow]:
    """Note what is said about every question; it is checked when the question is met."""
    for place, item in items(path, "annotations"):
        try:
            question_id = identity(item, "question_id")
        except RowError as error:
            yield error.at(place)
            continue
        said = {field: item.get(field) for field in (*LABELS.values(), "image_id", "answers")}
        annotations.add(question_id, {**said, "place": place})


def _extra(annotation: dict, first: dict) -> BadRow:
    detail = f"the question's answers are those of {first['place']}"
    return BadRow(annotation["place"], None, "annotation_duplicate", detail)


def _record(part: Part, line: str, item: dict, annotation: dict | None) -> Record:
    question_id, image_id = identity(item, "question_id"), identity(item, "image_id")
    try:
        file_name = part.name.format(image_id=item["image_id"])
    except ValueError as error:
        raise RowError(
            "image_id", "field_invalid", f"image_id {image_id!r} does not fit {part.name}: {error}"
        ) from error
    labels: dict[str, Value] = dict.fromkeys(("answers", *LABELS))
    if part.annotations:
        labels = _labels(question_id, image_id, annotation, part.annotations.name)
    question = string(item, "question")
    media = {"image": part.images.media(file_name), "text": Media(question, question.encode)}
    columns = {**labels, "question_id": question_id, "image_id": image_id}
    return Record(line, part.split, media, columns)


def _labels(question_id: str, image_id: str, said: dict | None, source: str) -> dict[str, Value]:
    """The answers and types of a question."""
    if said is None:
        raise RowError(
            question_id, "annotation_missing", f"question {question_id} is not in {source}"
        )
    if said["image_id"] is not None and identity(said, "image_id") != image_id:
        raise RowError(
            said["place"],
            "annotation_mismatch",
            f"the question is on image {image_id}, its annotation on {said['image_id']}",
        )
    answers = present(said, "answers")
    if not isinstance(answers, list) or not answers:
        raise RowError("answers", "field_invalid", "the field 'answers' is no list of answers")
    labels = {
        column: None if said[field] is None else string(said, field)
        for column, field in LABELS.items()
    }
    return {"answers": tuple(string(answer, "answer") for answer in answers), **labels}
