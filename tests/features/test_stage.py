"""The stage `features_<modality>`, run on a few texts with labels."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.torch import load_file

from components.common.files import write_json
from components.common.hashing import content_id
from components.data.samples import samples_schema
from components.data.shards import Asset, MediaWriter
from components.data.tables import write_table
from components.features import __main__ as features
from components.modalities.registry import MODALITIES
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
    preprocess.main(
        preprocess.PreprocessArguments(
            modality="text",
            media=tmp_path / "media",
            pretrained=tmp_path,
            tensors=tmp_path / "tensors",
            processor=tmp_path / "processor.json",
        ),
        small_settings(preprocess.settings_for("text")),
    )
    return tmp_path


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
        small_settings(features.settings_for("text"), {"tasks": {"label": TASK}, **changes}),
    )
    return load_file(encoder)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def test_settings_say_whether_labels_are_soft(folder):
    majority = run(folder, "majority")
    assert same(run(folder, "again"), majority)
    assert not same(run(folder, "soft", **{"ingest.on_conflict": "soft"}), majority)
