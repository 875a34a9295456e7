"""A model folder that answers raw media, any modality missing."""

import struct
import zlib

import numpy as np
import pandas as pd
import pytest
from mlflow.models.utils import _enforce_schema
from mlflow.types import DataType
from mlflow.types.schema import Array

from components.common.errors import InputError
from components.modalities.text.processing import train_tokenizer
from components.model.folder import save_model
from components.model.predictor import Predictor
from components.register.packaged import signature
from components.serving.predict import lines
from tests.model.worlds import CLASSES, EVERY_VOCABULARY, make_model
from tests.shrunk import png, small_settings, wav

QUESTION = "what color is the circle?"
ROWS = {
    "all": (png(0), QUESTION, wav(0)),
    "image": (png(1), None, None),
    "text": (None, QUESTION, None),
    "audio": (None, None, wav(1)),
    "image+text": (png(2), "привет", None),
    "text+audio": (None, "", wav(2)),
}


def save(folder, **options):
    tokenizer = train_tokenizer([QUESTION], small_settings().preprocess.text)
    save_model(folder, make_model(**options), tokenizer.to_str())
    return Predictor(folder)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return save(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def table():
    return pd.DataFrame(list(ROWS.values()), columns=["image", "text", "audio"])


def test_rows_with_different_modalities_are_answered_in_one_call(predictor, table):
    answers = predictor(table)
    assert list(answers.columns) == [c for task in CLASSES for c in (task, f"{task}_confidence")]
    assert len(answers) == len(table)
    for place, given in enumerate(ROWS):
        row = answers.iloc[place]
        assert row["answer"] in CLASSES["answer"]
        assert 1 / 3 <= row["answer_confidence"] <= 1
        for task, needs in {"shape": ("all", "image", "image+text")}.items():
            assert pd.notna(row[task]) == (given in needs)
            assert pd.notna(row[f"{task}_confidence"]) == (given in needs)
        assert pd.isna(row["question_type"]) == (given == "image")


def test_a_row_is_answered_as_if_alone(predictor, table):
    together = predictor(table)
    for place in range(len(table)):
        alone = predictor(table.iloc[[place]].dropna(axis=1))
        for column in together:
            one, other = alone[column].iloc[0], together[column].iloc[place]
            if isinstance(one, str) or pd.isna(one):
                assert one == other or (pd.isna(one) and pd.isna(other))
            else:
                assert one == pytest.approx(other, rel=1e-4)


def test_the_index_of_the_table_does_not_matter(predictor, table):
    moved = table.set_index(pd.Index(range(10, 10 + len(table))))
    pd.testing.assert_frame_equal(predictor(moved), predictor(table))


@pytest.mark.parametrize(
    "nothing", [{"text": [None]}, {"image": [None], "audio": [float("nan")]}, {"other": ["x"]}]
)
def test_a_row_with_nothing_given_is_named(predictor, nothing):
    with pytest.raises(InputError, match="row 0 has no image, no text and no audio"):
        predictor(pd.DataFrame(nothing))


def test_the_row_that_has_nothing_is_named_among_others(predictor):
    with pytest.raises(InputError, match="row 1 has no image"):
        predictor(pd.DataFrame({"text": ["hello", None]}))


def test_a_modality_that_the_model_never_learnt_is_refused(tmp_path):
    predictor = save(tmp_path, learnt=("image", "text"))
    assert len(predictor(pd.DataFrame({"text": [QUESTION], "audio": [None]}))) == 1
    rows = pd.DataFrame({"text": [QUESTION, None, QUESTION], "audio": [None, wav(0), wav(1)]})
    message = "row 1 has audio, but no sample that the model was trained on had any. Give it image"
    with pytest.raises(InputError, match=message):
        predictor(rows)


def huge() -> bytes:
    """A PNG file that says that it has more pixels than anyone should decode."""
    content = png()
    header = content[12:16] + struct.pack(">II", 60_000, 60_000) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def broken_chunk() -> bytes:
    """A PNG file whose pixels end early, with noise where the next chunk's name should be."""
    content = bytearray(png())
    place = content.index(b"IDAT")
    content[place - 4 : place] = struct.pack(">I", 20)
    content[place + 24 : place + 36] = b"\xed" * 12
    return bytes(content)


@pytest.mark.parametrize(
    ("modality", "content"),
    [
        ("image", b"no image"),
        ("image", b""),
        ("image", png()[:60]),
        ("image", huge()),
        ("image", broken_chunk()),
        ("audio", b"no sound"),
        ("audio", wav(np.zeros(0))),
        ("audio", wav(np.array([0, np.nan], dtype="float32"), subtype="FLOAT")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_cannot_be_decoded_is_the_user_s_mistake(predictor, modality, content):
    sound = {"image": png(), "audio": wav()}[modality]
    with pytest.raises(InputError, match=f"row 2 has {modality} that cannot be used") as error:
        predictor(pd.DataFrame({modality: [sound, None, content, content], "text": "why?"}))
    assert str(error.value).count("cannot be decoded") <= 1


def test_tasks_of_every_kind_are_answered(tmp_path, table):
    tokenizer = train_tokenizer([QUESTION], small_settings().preprocess.text)
    save_model(tmp_path, make_model(every=True), tokenizer.to_str())
    answers = Predictor(tmp_path)(table)
    assert list(answers.columns) == [
        "answer", "answer_confidence", "tags", "tags_confidence", "size", "reply",
        "reply_confidence", "caption", "caption_confidence",
    ]  # fmt: skip
    for place, given in enumerate(ROWS):
        row = answers.iloc[place]
        assert np.isfinite(row["size"])
        assert row["reply"] in EVERY_VOCABULARY["reply"]["classes"]
        assert 0 <= row["reply_confidence"] <= 1
        assert pd.isna(row["caption"]) == (given == "audio")
        assert pd.isna(row["caption_confidence"]) == (given == "audio")
        if "image" not in given and given != "all":
            assert row["tags"] is None and row["tags_confidence"] is None
            continue
        assert set(row["tags"]) <= set(EVERY_VOCABULARY["tags"]["classes"])
        assert len(row["tags"]) == len(row["tags_confidence"])
        assert all(0.5 < share <= 1 for share in row["tags_confidence"])


def test_mlflow_knows_the_type_of_every_answer(tmp_path, table):
    tokenizer = train_tokenizer([QUESTION], small_settings().preprocess.text)
    save_model(tmp_path, make_model(every=True), tokenizer.to_str())
    predictor = Predictor(tmp_path)
    outputs = signature(predictor).outputs
    answers = predictor(table)
    assert outputs.input_names() == list(answers.columns)
    types = {column.name: column.type for column in outputs.inputs}
    assert types["tags"] == Array("string") and types["tags_confidence"] == Array("double")
    assert types["size"] == DataType.double and types["reply"] == DataType.string
    assert types["caption"] == DataType.string and types["caption_confidence"] == DataType.double
    _enforce_schema(answers.iloc[[0]], outputs)


def test_the_shell_shows_every_answer():
    answers = pd.Series(
        {
            "answer": None,
            "answer_confidence": float("nan"),
            "tags": ["cat", "dog"],
            "tags_confidence": [0.9, 0.75],
            "none_here": [],
            "none_here_confidence": [],
            "size": 1234.56789,
            "reply": "2",
            "reply_confidence": 0.5,
        }
    )
    assert [line.split() for line in lines(answers)] == [
        ["tags", "cat", "90.00%"],
        ["tags", "dog", "75.00%"],
        ["none_here", "none"],
        ["size", "1234.57"],
        ["reply", "2", "50.00%"],
    ]
