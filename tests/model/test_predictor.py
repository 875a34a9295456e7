"""A model folder that predicts from raw media, any modality missing."""

import re
import struct
import zlib

import numpy as np
import pandas as pd
import pytest

from components.common.errors import InputError, Problem
from components.modalities.registry import MODALITIES, inspection_of, processing_of
from components.model.folder import save_model
from components.model.predictor import Predictor, UnusableRow
from tests.support.media import png, wav
from tests.support.params import ROOT
from tests.support.process import run_python
from tests.support.tiny_model import (
    CLASSES,
    EVERY_VOCABULARY,
    QUESTION,
    make_model,
    make_processors,
)

ROWS = {
    "all": (png(0), QUESTION, wav(0)),
    "image": (png(1), None, None),
    "text": (None, QUESTION, None),
    "audio": (None, None, wav(1)),
    "image-text": (png(2), "привет", None),
    "text-audio": (None, "why?", wav(2)),
}


def make_predictor(folder, **options) -> Predictor:
    save_model(folder, make_model(**options), make_processors())
    return Predictor(folder)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    return make_predictor(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def every_modality(tmp_path_factory) -> Predictor:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, make_model(modalities=MODALITIES), make_processors(MODALITIES))
    return Predictor(folder)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.DataFrame(list(ROWS.values()), columns=["image", "text", "audio"])


def test_rows_may_have_different_modalities(predictor, table):
    predictions = predictor(table)
    columns = [c for task in CLASSES for c in (task, f"{task}_confidence")]
    assert list(predictions.columns) == columns
    assert len(predictions) == len(table)
    for place, given in enumerate(ROWS):
        row = predictions.iloc[place]
        assert row["answer"] in CLASSES["answer"]
        assert 1 / 3 <= row["answer_confidence"] <= 1
        has_image = given in ("all", "image", "image-text")
        assert pd.notna(row["shape"]) == pd.notna(row["shape_confidence"]) == has_image
        assert pd.isna(row["question_type"]) == (given == "image")


def test_batched_equals_alone(predictor, table):
    together = predictor(table)
    for place in range(len(table)):
        alone = predictor(table.iloc[[place]].dropna(axis=1))
        for column in together:
            one, other = alone[column].iloc[0], together[column].iloc[place]
            if isinstance(one, str) or pd.isna(one):
                assert one == other or (pd.isna(one) and pd.isna(other))
            else:
                assert one == pytest.approx(other, rel=1e-4)


def test_processors_are_built_when_rows_have_their_modality(tmp_path, monkeypatch):
    asked = []

    def recorded(m: str):
        asked.append(m)
        return processing_of(m)

    monkeypatch.setattr("components.model.predictor.processing_of", recorded)
    predictor = make_predictor(tmp_path)
    assert asked == []
    for _ in range(2):
        predictor(pd.DataFrame({"text": [QUESTION], "image": [None]}))
    assert asked == ["text"]


def test_predictor_loads_no_scikit_learn():
    """To import it takes a second, a quarter of the time of one question."""
    script = (
        "import sys, components.model.predictor\n"
        "from components.modalities.registry import MODALITIES, encoders_of, processing_of\n"
        "loaded = [load(m) for m in MODALITIES for load in (encoders_of, processing_of)]\n"
        "sys.exit('sklearn' in sys.modules)"
    )
    assert run_python("-c", script, cwd=ROOT).returncode == 0


def test_index_of_the_table_does_not_matter(predictor, table):
    moved = table.set_index(pd.Index(range(10, 10 + len(table))))
    pd.testing.assert_frame_equal(predictor(moved), predictor(table))


@pytest.mark.parametrize(
    "nothing", [{"text": [None]}, {"image": [None], "audio": [float("nan")]}, {"other": ["x"]}]
)
def test_row_without_modality_is_named(predictor, nothing):
    message = r"row 0 has none of image, text, audio; give at least one \(row_empty\)"
    with pytest.raises(InputError, match=message):
        predictor(pd.DataFrame(nothing))


def test_row_without_modality_is_named_among_others(predictor):
    with pytest.raises(InputError, match="row 1 has none of image"):
        predictor(pd.DataFrame({"text": ["hello", None]}))


def test_modality_without_training_is_refused(tmp_path):
    predictor = make_predictor(tmp_path, modalities=("image", "text"))
    assert len(predictor(pd.DataFrame({"text": [QUESTION], "audio": [None]}))) == 1
    rows = pd.DataFrame({"text": [QUESTION, None, QUESTION], "audio": [None, wav(0), wav(1)]})
    message = (
        "row 1 has audio, but no sample that the model was trained on had any. Give it image, text"
    )
    with pytest.raises(InputError, match=re.escape(message)):
        predictor(rows)


def huge() -> bytes:
    """Return a PNG file that declares more pixels than anyone should decode."""
    content = png()
    header = content[12:16] + struct.pack(">II", 60_000, 60_000) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def broken_chunk() -> bytes:
    """Return a PNG file whose pixels end early, with noise in place of the next chunk's name."""
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
def test_undecodable_file_is_named(predictor, modality, content):
    valid = {"image": png(), "audio": wav()}[modality]
    with pytest.raises(InputError, match=f"row 2 has {modality} that cannot be used") as error:
        predictor(pd.DataFrame({modality: [valid, None, content, content], "text": "why?"}))
    assert str(error.value).count("cannot be decoded") <= 1


REFUSED = {  # modality → what a cell may hold that no model should answer
    "image": [b"", b"<html>404</html>", png()[:60], huge()],
    "text": [
        *("", " \t\r\n", "\u3000\u00a0\u2028", "\ufeff", "\u200b\u200d\u2060\u202e", "\x07"),
        *("what\0", "a" * 20_001, "\ud800", b"caf\xe9"),
    ],
    "audio": [b"", b"no sound", wav(np.zeros(0)), wav(rate=4_000)],
    "tabular": [
        "",
        "[1]",
        "{}",
        '{"age": null, "breed": " "}',
        '{"age": [3]}',
        '{"age": "\ud800"}',
    ],
}


@pytest.mark.parametrize(
    ("modality", "cell"), [(m, cell) for m, cells in REFUSED.items() for cell in cells]
)
def test_what_ingest_refuses_is_refused_with_the_same_reason(every_modality, modality, cell):
    content = cell.encode(errors="surrogatepass") if isinstance(cell, str) else cell
    problem = inspection_of(modality).inspect(content)
    assert isinstance(problem, Problem)
    with pytest.raises(UnusableRow) as refused:
        every_modality(pd.DataFrame({"image": [png(), None], modality: [None, cell]}, dtype=object))
    assert (refused.value.row, refused.value.reason) == (1, problem.reason)
    assert str(refused.value) == (
        f"row 1 has {modality} that cannot be used: {problem.detail} ({problem.reason})"
    )


def test_sound_that_is_cut_is_checked_to_its_end(every_modality):
    """As at ingest: a model reads the first seconds only."""
    samples = np.zeros(10 * 16_000, dtype="float32")
    samples[-1] = np.nan
    with pytest.raises(UnusableRow, match="audio_not_finite"):
        every_modality(pd.DataFrame({"audio": [wav(samples, subtype="FLOAT")]}))


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("cell", [3, 1.5, True, ["why?"], {"age": 3}])
def test_cell_of_another_type_is_named(every_modality, modality, cell):
    """As JSON can hold it."""
    table = pd.DataFrame({modality: pd.Series([cell], dtype=object)})
    with pytest.raises(UnusableRow) as refused:
        every_modality(table)
    assert refused.value.reason == "row_malformed"
    assert f"found {type(cell).__name__}, expected text or bytes" in str(refused.value)


def test_column_that_the_model_lacks_has_a_reason(every_modality):
    with pytest.raises(UnusableRow, match="unknown column 'agee'. Did you mean 'age'") as refused:
        every_modality(pd.DataFrame({"tabular": ['{"agee": 3}']}))
    assert refused.value.reason == "tabular_unknown_column"


def test_tasks_of_every_kind_are_predicted(tmp_path, table):
    predictions = make_predictor(tmp_path, every=True)(table)
    assert list(predictions.columns) == [
        *("answer", "answer_confidence", "tags", "tags_confidence", "size"),
        *("reply", "reply_confidence", "caption", "caption_confidence"),
    ]
    for place, given in enumerate(ROWS):
        row = predictions.iloc[place]
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
        assert all(0.5 < probability <= 1 for probability in row["tags_confidence"])
