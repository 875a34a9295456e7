"""Demo: spoken visual question answering.

Images, questions and answers are the PyPI package `easy-vqa`; every question is also spoken by
eSpeak NG in a voice of its split. Both are the optional extra `demo`.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Literal

from components.common.hashing import content_id
from components.data.samples import Split
from components.ingest.records import Media, Record
from components.ingest.sources.source import Source, SourceContext, SourceSettings, import_demo
from components.ingest.sources.voices import VoiceSettings, require_voices, spoken, voice_columns
from components.ingest.splits import choose_split
from components.stage.settings import Count

SHAPES = ("circle", "rectangle", "triangle")
COLOURS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
NEGATION = re.compile(r"\b(not|no)\b")

VOICES = VoiceSettings.of(
    {
        "train": "en/150/35 en/192/45 en/172/62 en-us/152/42 en-us/188/50 en-us/170/66 "
        "en-gb-x-rp/153/48 en-gb-x-rp/193/62 en-gb-x-rp/173/35 "
        "en-gb-scotland/154/62 en-gb-scotland/184/35 en-gb-scotland/170/50 "
        "en-gb-x-gbcwmd/155/38 en-gb-x-gbcwmd/185/60 en-gb-x-gbcwmd/168/70 "
        "en-029/152/60 en-029/188/42 en-029/168/52",
        "validation": "en-us-nyc/160/45 en-us-nyc/178/58",  # an accent heard only here
        "test": "en-gb-x-gbclan/155/45 en-gb-x-gbclan/170/60 en-gb-x-gbclan/185/50 "  # likewise
        "en/165/45 en-gb-scotland/178/48 en-us/166/56",  # new speeds and pitches
    }
)


class DemoSettings(SourceSettings):
    """Options of the demo."""

    kind: Literal["demo"] = "demo"
    images: Count | None = None
    """The first ones of each split of the package; null: all of them."""
    voices: VoiceSettings = VOICES
    """Who speaks in each split."""


def read(settings: DemoSettings, context: SourceContext) -> Iterator[Record]:
    """Yield every question of easy-VQA with its image and its speech, image by image.

    The test split is the package's own. Validation is cut from train by a hash of the image, so
    all questions about an image are in one split. Raises `InputError` if the extra `demo` is not
    installed, or a voice does not exist.
    """
    easy_vqa = import_demo("easy_vqa")
    require_voices(settings.voices, "ingest.source.voices")
    parts: dict[Split, tuple] = {
        "train": (easy_vqa.get_train_questions(), easy_vqa.get_train_image_paths()),
        "test": (easy_vqa.get_test_questions(), easy_vqa.get_test_image_paths()),
    }
    for name, (rows, paths) in parts.items():
        kept = set(sorted(paths)[: settings.images])
        numbered = ((number, *row) for number, row in enumerate(zip(*rows, strict=True)))
        questions = (question for question in numbered if question[-1] in kept)
        for image, group in groupby(questions, key=itemgetter(-1)):
            yield from _about_image(name, Path(paths[image]), list(group), settings, context)


def _about_image(
    name: Split, path: Path, questions: list[tuple], settings: DemoSettings, context: SourceContext
) -> Iterator[Record]:
    """Yield the questions about an image: number, text, answer and image in the package's split."""
    split = choose_split(name, content_id(path.read_bytes()), context.splits, context.seed)
    shape, colour = attributes((text, answer) for _, text, answer, _ in questions)
    for number, text, answer, _ in questions:
        voice = settings.voices.choose(split, context.seed, "voice", name, number)
        media = {
            "image": Media("/".join(path.parts[-3:]), path.read_bytes),
            "text": Media(text, text.encode),
            "audio": spoken(text, voice),
        }
        columns = {
            "answer": answer,
            "shape": shape,
            "colour": colour,
            "question_type": question_type(text),
            **voice_columns(voice),
        }
        yield Record(f"{name}/{number:05d}", split, media, columns)


def question_type(text: str) -> str:
    """Return what a question asks for: shape, colour, presence or absence."""
    if text.startswith("what"):
        return "colour" if "color" in text else "shape"
    return "absence" if NEGATION.search(text) else "presence"


def attributes(answered: Iterable[tuple[str, str]]) -> tuple[str | None, str | None]:
    """Return shape and colour of an image, from the questions about it and their answers.

    An answer names an attribute ("what color is the circle?" "red": red), a question can presume
    one (a circle), and a yes to a presence or a no to an absence confirms one. Raises `ValueError`
    if the questions contradict each other.
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
        raise ValueError(f"questions about one image contradict each other: {sorted(known)}")
    return next(iter(shape), None), next(iter(colour), None)


SOURCE = Source(DemoSettings, read)
