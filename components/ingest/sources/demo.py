"""The demo source: spoken visual question answering.

Images, questions and answers are the PyPI package `easy-vqa`; every question is also spoken by
eSpeak NG in a voice of its split. Both are the optional extra `demo`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from components.common.errors import InputError
from components.common.hashing import content_id, number_from
from components.data.tables import Split
from components.ingest.record import Media, Record
from components.ingest.settings import DemoSettings, SplitSettings, Voice
from components.ingest.sources.with_voices import columns, require, spoken
from components.ingest.splits import choose

SHAPES = ("circle", "rectangle", "triangle")
COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
NEGATION = re.compile(r"\b(not|no)\b")


@dataclass(frozen=True)
class Question:
    """A question about an image, the voice that speaks it, and where it stands in the package."""

    line: str
    split: Split
    text: str
    answer: str
    image: Path
    voice: Voice


def read(settings: DemoSettings, cut: SplitSettings, seed: int) -> Iterator[Record]:
    """Every question of easy-VQA with its image and its speech, image by image.

    The test split is the package's own. Validation is cut from train by a hash of the image, so
    all questions on an image are in one split.

    Raises:
        InputError: the extra `demo` is not installed, or a voice does not exist.
    """
    try:
        import easy_vqa
    except ImportError as error:
        raise InputError(
            "ingest.source: demo needs the packages of the extra 'demo', found none. "
            "Install them: pip install -e '.[demo]'"
        ) from error
    require(settings.voices, "ingest.demo.voices")
    sources = {
        "train": (easy_vqa.get_train_questions(), easy_vqa.get_train_image_paths()),
        "test": (easy_vqa.get_test_questions(), easy_vqa.get_test_image_paths()),
    }
    questions = [
        question
        for name, (rows, paths) in sources.items()
        for question in _questions(name, rows, paths, settings, cut, seed)
    ]
    for _, group in groupby(questions, key=lambda question: question.image):
        group = list(group)
        shape, colour = attributes((question.text, question.answer) for question in group)
        for question in group:
            yield _record(question, shape, colour)


def _questions(name, rows, paths, settings, cut, seed) -> Iterator[Question]:
    """The questions of one of the package's two splits, each given its split and voice."""
    kept = set(sorted(paths)[: settings.images])
    splits: dict[int, Split] = {}
    for number, (text, answer, image) in enumerate(zip(*rows, strict=True)):
        if image not in kept:
            continue
        if image not in splits:
            key = content_id(Path(paths[image]).read_bytes())
            splits[image] = choose(name, key, cut, seed)
        voices = getattr(settings.voices, splits[image])
        voice = voices[number_from(seed, "voice", name, number) % len(voices)]
        line = f"{name}/{number:05d}"
        yield Question(line, splits[image], text, answer, Path(paths[image]), voice)


def _record(question: Question, shape: str | None, colour: str | None) -> Record:
    return Record(
        line=question.line,
        split=question.split,
        media={
            "image": Media("/".join(question.image.parts[-3:]), question.image.read_bytes),
            "text": Media(question.text, question.text.encode),
            "audio": spoken(question.text, question.voice),
        },
        columns={
            "answer": question.answer,
            "shape": shape,
            "colour": colour,
            "question_type": question_type(question.text),
            **columns(question.voice),
        },
    )


def question_type(text: str) -> str:
    """What a question asks for: shape, colour, presence or absence."""
    if text.startswith("what"):
        return "colour" if "color" in text else "shape"
    return "absence" if NEGATION.search(text) else "presence"


def attributes(answered: Iterator[tuple[str, str]]) -> tuple[str | None, str | None]:
    """Shape and colour of an image, from the questions on it and their answers.

    An answer names an attribute ("what color is the circle?" "red": red), a question can presume
    one (a circle), and a yes to a presence or a no to an absence confirms one.

    Raises:
        ValueError: the questions contradict each other.
    """
    known: set[str] = set()
    for text, answer in answered:
        mentioned = set(re.findall(r"\w+", text)) & {*SHAPES, *COLOURS}
        match question_type(text):
            case "shape" | "colour":
                known |= mentioned | {answer}
            case "presence" if answer == "yes":
                known |= mentioned
            case "absence" if answer == "no":
                known |= mentioned
    shape, colour = known & set(SHAPES), known & set(COLOURS)
    if len(shape) > 1 or len(colour) > 1:
        raise ValueError(f"the questions on one image say that it is {sorted(known)}")
    return next(iter(shape), None), next(iter(colour), None)
