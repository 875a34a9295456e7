"""VQA v2: questions about images with ten answers each.

The files are `*_questions.json` and `*_annotations.json`.
"""

from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from components.data.samples import Split
from components.ingest.records import BadRow, Media, Record, RowError, Rows, Value
from components.ingest.sources.files import Folder, file, folder, optional_file, refuse_same_name
from components.ingest.sources.source import Source, SourceContext, SourceSettings
from components.ingest.sources.streaming import (
    Lookup,
    each_item,
    identity,
    json_items,
    present,
    row_id_of,
    string,
)
from components.stage.settings import Section

LABELS = {  # column: field of an annotation
    "answer": "multiple_choice_answer",
    "question_type": "question_type",
    "answer_type": "answer_type",
}


class VqaSplit(Section):
    """One split of VQA v2: the paths of its folder of images and of its files."""

    images: str
    """Folder of the images."""
    name: str
    """Pattern of an image's file name, as COCO_train2014_{image_id:012d}.jpg."""
    questions: str
    """File *_questions.json."""
    annotations: str | None = None
    """The answers; a test split has none."""

    @model_validator(mode="after")
    def _name_has_image_id_alone(self):
        try:
            parts = list(Formatter().parse(self.name))
        except ValueError as error:
            raise ValueError(f"name {self.name!r} is not a pattern: {error}") from error
        fields = [(field, form) for _, field, form, _ in parts if field is not None]
        if not fields or any(field != "image_id" or "{" in (form or "") for field, form in fields):
            raise ValueError(
                f"name: found {self.name!r}, expected one with image_id in braces, as in "
                "COCO_train2014_{image_id:012d}.jpg"
            )
        return self


class VqaSettings(SourceSettings):
    """Options of VQA v2: the files of each split."""

    kind: Literal["vqa"] = "vqa"
    splits: Annotated[dict[Split, VqaSplit], Field(min_length=1)]
    """Files per split."""


@dataclass(frozen=True)
class Part:
    """One split: its folder and file names of images, its questions and answers."""

    split: Split
    images: Folder
    name: str
    questions: Path
    annotations: Path | None


def read(settings: VqaSettings, context: SourceContext) -> Rows:
    """Yield one record per question, split by split, in the order of the questions file.

    Each has the columns `answers` (all of them as written, in the file's order), `answer`,
    `question_type`, `answer_type`, `question_id` and `image_id`. Without an annotations file, as in
    a test split, the first four are None. Raises `InputError` if a file or folder is missing, is
    not JSON, or lists no questions or annotations.
    """
    root, parts = context.root, []
    for split, named in settings.splits.items():
        setting = f"ingest.source.splits.{split}"
        images = folder(root, named.images, f"{setting}.images")
        questions = file(root, named.questions, f"{setting}.questions")
        annotations = optional_file(root, named.annotations, f"{setting}.annotations")
        parts.append(Part(split, images, named.name, questions, annotations))
    refuse_same_name([path for p in parts for path in (p.questions, p.annotations) if path])
    for part in parts:
        yield from _read_part(part)


def _read_part(part: Part) -> Rows:
    with closing(Lookup()) as annotations:
        if part.annotations:
            store = partial(_store, annotations)
            yield from each_item(part.annotations, "annotations", store)
        for place, item in json_items(part.questions, "questions"):
            row_id = row_id_of(part.questions, item, "question_id", place)
            try:
                found = annotations.take(identity(item, "question_id"))
                for extra in found[1:]:
                    detail = f"the question's answers are those of {found[0]['place']}"
                    yield BadRow(extra["place"], None, "annotation_duplicate", detail)
                yield _record(part, row_id, item, found[0] if found else None)
            except RowError as error:
                yield error.at(row_id)
        for question_id, annotation in annotations.rest():
            detail = f"question {question_id} is not in {part.questions.name}"
            yield BadRow(annotation["place"], question_id, "question_missing", detail)


def _store(annotations: Lookup, place: str, item: Any) -> None:
    """Store the annotation of a question; it is checked together with the question."""
    question_id = identity(item, "question_id")
    known = {field: item.get(field) for field in (*LABELS.values(), "image_id", "answers")}
    annotations.add(question_id, {**known, "place": place})


def _record(part: Part, row_id: str, item: dict, annotation: dict | None) -> Record:
    question_id, image_id = identity(item, "question_id"), identity(item, "image_id")
    try:
        file_name = part.name.format(image_id=item["image_id"])
    except ValueError as error:
        detail = f"image_id {image_id!r} does not fit {part.name}: {error}"
        raise RowError("image_id", "field_invalid", detail) from error
    labels: dict[str, Value] = dict.fromkeys(("answers", *LABELS))
    if part.annotations:
        labels = _labels(question_id, image_id, annotation, part.annotations.name)
    question = string(item, "question")
    media = {"image": part.images(file_name), "text": Media(question, question.encode)}
    columns = {**labels, "question_id": question_id, "image_id": image_id}
    return Record(row_id, part.split, media, columns)


def _labels(
    question_id: str, image_id: str, annotation: dict | None, source: str
) -> dict[str, Value]:
    """Return the answers and types of a question."""
    if annotation is None:
        detail = f"question {question_id} is not in {source}"
        raise RowError(question_id, "annotation_missing", detail)
    other = annotation["image_id"]
    if other is not None and identity(annotation, "image_id") != image_id:
        detail = f"the question is about image {image_id}, its annotation about {other}"
        raise RowError(annotation["place"], "annotation_mismatch", detail)
    answers = present(annotation, "answers")
    if not isinstance(answers, list) or not answers:
        raise RowError("answers", "field_invalid", "the field 'answers' is not a list of answers")
    labels = {
        column: None if annotation[field] is None else string(annotation, field)
        for column, field in LABELS.items()
    }
    return {"answers": tuple(string(answer, "answer") for answer in answers), **labels}


SOURCE = Source(VqaSettings, read)
