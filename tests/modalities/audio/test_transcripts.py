"""Objectives that teach encoders of sound which texts or words they hear."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from components.common.hashing import content_id
from components.data.assets import AssetTensors
from components.data.shards import Asset, MediaWriter
from components.modalities.audio import transcripts
from components.modalities.audio.modality import AudioEncoderSettings
from components.modalities.audio.transcripts import (
    transcript_objectives,
    word_f1,
    word_targets,
    words_in,
)
from components.modalities.encoding import Objective
from components.tasks.multilabel.head import Multilabel
from tests.support.tiny_model import ids_of

OPTIONS = AudioEncoderSettings()
SAYINGS = ("A red dog.", "the dog, the RED dog", "a cat", "une école", "a fox", "…")


def objective_of(assets: AssetTensors, table: pd.DataFrame, texts: Path) -> Objective:
    (objective,) = transcript_objectives(OPTIONS, assets, table, texts).values()
    return objective


def test_target_is_text_among_training_texts():
    ids, texts = ids_of("audio", 4), ids_of("text", 3)
    table = pd.DataFrame(
        {
            "split": ["train", "train", "validation", "test"],
            "audio_id": ids,
            "text_id": [texts[1], texts[0], texts[1], texts[2]],
        },
        dtype="str",
    )
    objective = objective_of(AssetTensors(tuple(ids), {}), table, Path("is not read"))
    order = sorted(texts[:2])
    assert objective.outputs == 2
    expected = [order.index(texts[1]), order.index(texts[0]), order.index(texts[1]), -1]
    assert objective.targets.tolist() == expected
    assert objective.known(objective.targets).tolist() == [True, True, True, False]


def test_texts_without_training_sound_are_no_classes():
    ids, texts = ids_of("audio", 2), ids_of("text", 4)
    table = pd.DataFrame(
        {"split": "train", "audio_id": [*ids, None, None], "text_id": texts}, dtype="str"
    )
    assets = AssetTensors(tuple(ids), {})
    assert objective_of(assets, table, Path("is not read")).outputs == 2


def test_without_texts_there_is_no_objective():
    ids = ids_of("audio", 2)
    table = pd.DataFrame({"split": "train", "audio_id": ids, "text_id": None}, dtype="str")
    assets = AssetTensors(tuple(ids), {})
    assert transcript_objectives(OPTIONS, assets, table, Path("is not read")) == {}


def test_texts_that_are_no_transcripts_are_not_learnt(tmp_path):
    assets, table = said_by(tmp_path)
    assert transcript_objectives(OPTIONS, assets, table, tmp_path)
    off = OPTIONS.model_copy(update={"transcript": False})
    assert transcript_objectives(off, assets, table, tmp_path) == {}


def test_text_of_most_training_samples_is_learnt(caplog):
    """Whatever comes first, and whatever is said in other splits."""
    ids, texts = ids_of("audio", 3), sorted(ids_of("text", 3))
    rows = [
        *((ids[0], texts[n], "train") for n in (2, 1, 1)),
        *((ids[1], texts[n], "train") for n in (0, 2)),
        *((ids[2], texts[n], split) for n, split in ((0, "validation"), (0, "test"), (2, "train"))),
    ]
    table = pd.DataFrame(rows, columns=["audio_id", "text_id", "split"], dtype="str")
    objective = objective_of(AssetTensors(tuple(ids), {}), table, Path("is not read"))
    assert objective.targets.tolist() == [0, -1, 1]  # among the second and the third text
    assert "3 of 3 sounds have several texts" in caplog.text
    assert "1 with a tie learn none. Set features.audio.transcript: false" in caplog.text


def test_nothing_is_said_if_each_sound_has_one_text(tmp_path, caplog):
    assets, table = said_by(tmp_path)
    assert objective_of(assets, pd.concat([table, table]), tmp_path)
    assert not caplog.records


def said_by(folder: Path, sayings=SAYINGS) -> tuple[AssetTensors, pd.DataFrame]:
    """Return sounds that say texts, the last two in validation, and one without a text."""
    writer = MediaWriter(folder)
    assets = [Asset(content_id(said.encode()), said.encode()) for said in sayings]
    for asset in assets:
        writer.add(asset)
    writer.close()
    ids = ids_of("audio", len(sayings) + 1)
    split = ["train"] * (len(sayings) - 2) + ["validation", "validation", "train"]
    texts = [*(asset.asset_id for asset in assets), None]
    table = pd.DataFrame({"split": split, "audio_id": ids, "text_id": texts}, dtype="str")
    return AssetTensors(tuple(ids), {}), table


def test_many_texts_are_learnt_by_words(tmp_path, monkeypatch):
    assets, table = said_by(tmp_path)
    monkeypatch.setattr(transcripts, "MANY_TEXTS", 3)
    objective = objective_of(assets, table, tmp_path)
    vocabulary = ["a", "dog", "red", "cat", "the", "une", "école"]  # in two texts, then in one
    assert objective.metric.name == "f1"
    assert objective.outputs == len(vocabulary)
    assert objective.known(objective.targets).tolist() == [True] * 6 + [False]
    found = [
        {vocabulary[int(code)] for code, score in target if score == 1}
        for target in objective.targets[:-1].tolist()
    ]
    expected = [{"a", "red", "dog"}, {"the", "dog", "red"}, {"a", "cat"}, {"une", "école"}]
    assert found == [*expected, {"a"}, set()]
    monkeypatch.setattr(transcripts, "MANY_TEXTS", 4)
    objective = objective_of(assets, table, tmp_path)
    assert (objective.outputs, objective.metric.name) == (4, "accuracy")


def test_only_most_frequent_words_are_learnt(tmp_path, monkeypatch):
    assets, table = said_by(tmp_path)
    monkeypatch.setattr(transcripts, "MANY_TEXTS", 1)
    monkeypatch.setattr(transcripts, "MAX_WORDS", 2)
    assert objective_of(assets, table, tmp_path).outputs == 2


@pytest.mark.parametrize("sayings", [("…", "?!", "--", "!"), ("👍", "👎", "👏", "🙏")])
def test_texts_without_words_have_no_objective(tmp_path, monkeypatch, sayings):
    assets, table = said_by(tmp_path, sayings)
    monkeypatch.setattr(transcripts, "MANY_TEXTS", 1)
    assert transcript_objectives(OPTIONS, assets, table, tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A dog isn’t on the mat, it's 'quoted'.", "a|dog|isn’t|on|the|mat|it's|quoted"),
        ("The dog, THE Dog", "the|dog"),
        ("Straße ÉCOLE 12:30 don't-stop", "strasse|école|12|30|don't|stop"),
        ("这是什么? hello世界", "这|是|什|么|hello|世|界"),
        ("ひらカ", "ひ|ら|カ"),
        ("नमस्ते दुनिया", "नमस्ते|दुनिया"),
        ("مرحبا بالعالم", "مرحبا|بالعالم"),
        ("한국어 문장", "한국어|문장"),
        ("👍 …", ""),
    ],
)
def test_words_of_any_language(text, words):
    assert words_in(text) == tuple(filter(None, words.split("|")))


def test_word_loss_and_f1_equal_dense_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(transcripts, "MANY_TEXTS", 1)
    objective = objective_of(*said_by(tmp_path), tmp_path)
    targets = word_targets(pd.Series([("a", "c"), ("b",), ()]), ["a", "b", "c"])
    dense = torch.tensor([[1.0, 0, 1], [0, 1, 0], [0, 0, 0]])
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    exact = 18 * dense - 9
    assert objective.validate is word_f1
    assert word_f1(exact, targets) == 1.0
    assert word_f1(logits, targets) == Multilabel.validate(logits, dense)
    assert objective.loss(exact, targets, 0.0) < 0.01 < objective.loss(-exact, targets, 0.0)
    torch.testing.assert_close(objective.loss(logits, targets, 0.0), Multilabel.loss(logits, dense))
