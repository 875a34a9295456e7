"""The stage `features_<modality>`, run on a few texts with labels."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.torch import load_file

from components.common.errors import InputError
from components.common.files import write_json
from components.common.hashing import content_id
from components.data.samples import samples_schema
from components.data.shards import Asset, MediaWriter
from components.data.tables import write_table
from components.features import __main__ as features
from components.features import encode_modality
from components.huggingface.encoder_file import HEADS, load_encoder, load_tasks
from components.modalities.registry import MODALITIES
from components.modalities.text.encoders.plain import PlainTextExtractor
from components.preprocess import __main__ as preprocess
from tests.support.params import small_settings

TEXTS = [f"is shape {number} red?" for number in range(14)]
CLASSES = ["no", "yes"]
TASK = {"column": "label", "sufficient_modalities": ["text"]}
WITH_HEADS = {"features.text.keep_heads": True}


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return a folder with what earlier stages leave; the first text has both labels."""
    writer, ids = MediaWriter(tmp_path / "media"), [content_id(text.encode()) for text in TEXTS]
    for asset, text in zip(ids, TEXTS, strict=True):
        writer.add(Asset(asset, text.encode()))
    writer.close()
    rows = {"text_id": [*ids, ids[0], ids[0]], "label": [*CLASSES * 7, "no", "yes"]}
    table = pd.DataFrame(rows).assign(split=["train"] * 8 + ["validation"] * 6 + ["train"] * 2)
    table = table.assign(sample_id=table.index.astype(str))
    table = table.assign(**{f"{m}_id": None for m in MODALITIES if m != "text"})
    write_table(tmp_path / "samples.parquet", table.astype("str"), samples_schema(MODALITIES))
    write_json(tmp_path / "vocabulary.json", {"label": {"classes": CLASSES}})
    preprocess_texts(tmp_path)
    return tmp_path


def preprocess_texts(folder: Path, **changes: Any) -> None:
    preprocess.main(
        preprocess.PreprocessArguments(
            modality="text",
            media=folder / "media",
            pretrained=folder,
            tensors=folder / "tensors",
            processor=folder / "processor.json",
        ),
        small_settings(preprocess.settings_for("text"), changes),
    )


def run(folder: Path, name: str, **changes: Any) -> dict[str, Any]:
    """Run the stage, and return the tensors of the encoder that it leaves, called `name`."""
    encoder = folder / f"{name}.safetensors"
    features.main(
        features.FeaturesArguments(
            modality="text",
            tensors=folder / "tensors",
            samples=folder / "samples.parquet",
            vocabulary=folder / "vocabulary.json",
            pretrained=folder,
            features=folder / "features",
            encoder=encoder,
            history=folder / "history.csv",
            checkpoint=folder / "checkpoint",
        ),
        small_settings(features.settings_for("text"), {"tasks": {"label": TASK}} | changes),
    )
    return load_file(encoder)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def test_settings_say_whether_labels_are_soft(folder):
    majority = run(folder, "majority")
    assert same(run(folder, "again"), majority)
    assert not same(run(folder, "soft", **{"ingest.on_conflict": "soft"}), majority)


def test_files_are_read_and_plain_features_computed_once(folder, monkeypatch):
    with_plain = {"features.text.plain": True}
    preprocess_texts(folder, **with_plain)
    calls: list[str] = []
    for name in ("load_assets", "read_samples", "read_json"):
        count_calls(monkeypatch, encode_modality, name, calls)
    count_calls(monkeypatch, PlainTextExtractor, "describe", calls)
    monkeypatch.setattr(encode_modality, "encode_shards", lambda *given: None)
    run(folder, "plain", **with_plain)
    assert sorted(calls) == ["describe", "load_assets", "read_json", "read_samples"]


def count_calls(monkeypatch, owner: Any, name: str, calls: list[str]) -> None:
    """Let every call of a function of `owner` leave its name in `calls`."""
    function = getattr(owner, name)

    def counted(*given: Any) -> Any:
        calls.append(name)
        return function(*given)

    monkeypatch.setattr(owner, name, counted)


def start_from(folder: Path, name: str) -> dict[str, Any]:
    """Return the settings of a run that takes the encoder that another one left."""
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text("is not read")
    return {
        "features.text.pretrained": f"{name}.safetensors",
        "preprocess.text.tokenizer": tokenizer.name,
    }


def test_heads_are_kept_with_what_they_learnt(folder):
    assert not [name for name in run(folder, "without") if name.startswith(HEADS)]
    run(folder, "with", **WITH_HEADS)
    _, heads = load_encoder(folder / "with.safetensors")
    (((part, task), weights),) = heads.items()
    assert (part, task) == ("pooled", "label")
    shapes = {name: list(value.shape) for name, value in weights.items()}
    assert shapes == {"weight": [2, 8], "bias": [2]}
    vocabulary = {"kind": "classification", "vocabulary": {"classes": CLASSES}}
    assert load_tasks(folder / "with.safetensors") == {"label": vocabulary}
    assert load_tasks(folder / "without.safetensors") == {}


def test_pretrained_encoder_brings_its_heads(folder):
    run(folder, "first", **WITH_HEADS)
    options = start_from(folder, "first")
    again = run(folder, "again", **options, **WITH_HEADS)
    assert same(again, load_file(folder / "first.safetensors"))
    assert load_tasks(folder / "again.safetensors") == load_tasks(folder / "first.safetensors")
    assert not [name for name in run(folder, "without", **options) if name.startswith(HEADS)]


@pytest.mark.parametrize(
    ("classes", "places"),
    [(["yes", "no"], [1, 0]), (["yes"], [1])],
    ids=["another order", "fewer"],
)
def test_labels_of_pretrained_heads_keep_their_meaning(folder, classes, places):
    first = run(folder, "first", **WITH_HEADS)
    write_json(folder / "vocabulary.json", {"label": {"classes": classes}})
    found = run(folder, "again", **start_from(folder, "first"), **WITH_HEADS)
    for part in ("weight", "bias"):
        name = f"{HEADS}pooled.label.{part}"
        assert found[name].equal(first[name][places])


@pytest.mark.parametrize(
    ("learnt", "kind", "unknown"),
    [
        ({"classes": ["maybe", *CLASSES]}, "classification", "does not know maybe"),
        ({"classes": CLASSES}, "multilabel", "does not know this kind of label"),
    ],
)
def test_heads_that_do_not_know_the_labels_are_left_out(folder, caplog, learnt, kind, unknown):
    run(folder, "first", **WITH_HEADS)
    write_json(folder / "vocabulary.json", {"label": learnt})
    changes = start_from(folder, "first") | WITH_HEADS | {"tasks": {"label": TASK | {"kind": kind}}}
    found = run(folder, "again", **changes)
    assert not [name for name in found if name.startswith(HEADS)]
    (warning,) = [line.message for line in caplog.records if line.levelname == "WARNING"]
    assert warning.startswith("features_text: the head of the task label is left out: that in ")
    assert warning.endswith(unknown)


def test_missing_heads_are_refused(folder):
    run(folder, "first")
    message = "features.text.keep_heads: true, but .*first.safetensors has no heads: its encoder"
    with pytest.raises(InputError, match=message):
        run(folder, "again", **start_from(folder, "first"), **WITH_HEADS)
