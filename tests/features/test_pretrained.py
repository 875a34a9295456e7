"""Weights from a file are taken as they are, or the file is refused."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from components.common.errors import InputError
from components.common.files import write_json
from components.common.hashing import content_id
from components.data import shards
from components.data.shards import Asset, MediaWriter
from components.data.tables import read_table
from components.features import __main__ as features
from components.features.pretrained import load_weights
from components.layers.features import Encoder
from components.modalities.registry import MODALITIES, encoders_of
from components.modalities.tabular.decoding import decode
from components.modalities.tabular.processing import describe
from components.modalities.text.processing import train_tokenizer
from components.preprocess import __main__ as preprocess
from components.train.settings import TrainStageSettings
from components.training.tables import HISTORY
from tests.support.media import png, wav
from tests.support.params import small_settings

SETTINGS: Any = small_settings(TrainStageSettings)
CONTENTS = {
    "image": lambda seed: png(seed, size=(20, 30)),
    "text": lambda seed: f"is shape {seed} red?".encode(),
    "audio": wav,
    "tabular": lambda seed: json.dumps({"age": str(seed), "breed": f"breed {seed % 2}"}).encode(),
}
NAMED = {
    "preprocess.text.tokenizer": "tokenizer.json",
    "preprocess.tabular.columns": "columns.json",
    **{f"features.{m}.pretrained": "mine.safetensors" for m in MODALITIES},
}
COUNT = 14


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Cut about 8 shards of a handful of assets."""
    monkeypatch.setattr(shards, "ends_chunk", lambda asset_id, count: int(asset_id[:8], 16) % 2)


def build(m: str) -> Encoder:
    return encoders_of(m).build(SETTINGS.preprocess[m], SETTINGS.features[m], None)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> Path:
    """Return a folder with an encoder of each modality, a tokenizer and columns."""
    folder = tmp_path_factory.mktemp("given") / "pretrained"
    torch.manual_seed(0)
    for m in MODALITIES:
        (folder / m).mkdir(parents=True)
        save_file(build(m).state_dict(), folder / m / "mine.safetensors")
    texts = (CONTENTS["text"](seed).decode() for seed in range(COUNT))
    tokenizer = train_tokenizer(texts, SETTINGS.preprocess["text"].vocab_size)
    tokenizer.save(str(folder / "text/tokenizer.json"))
    rows = (decode(CONTENTS["tabular"](seed)) for seed in range(COUNT))
    columns = [column.to_json() for column in describe(rows, SETTINGS.preprocess["tabular"])]
    write_json(folder / "tabular/columns.json", columns)
    return folder


def run(
    m: str, folder: Path, pretrained: Path, seeds: Iterable[int], **changes
) -> dict[str, bytes]:
    """Run both stages of a modality in a folder; return the files that they leave."""
    writer = MediaWriter(folder / "media")
    for seed in seeds:
        content = CONTENTS[m](seed)
        writer.add(Asset(content_id(content), content))
    writer.close()
    left, unread = folder / "left", folder / "is not read"
    changes = NAMED | {"workers": 1} | changes
    preprocess.main(
        preprocess.PreprocessArguments(
            modality=m,
            media=folder / "media",
            pretrained=pretrained / m,
            tensors=left / "tensors",
            processor=left / "processor.json",
        ),
        small_settings(preprocess.settings_for(m), changes),
    )
    features.main(
        features.FeaturesArguments(
            modality=m,
            tensors=left / "tensors",
            samples=unread,
            vocabulary=unread,
            pretrained=pretrained / m,
            texts=unread,
            features=left / "features",
            encoder=left / "encoder.safetensors",
            history=left / "history.csv",
            checkpoint=left / "checkpoint",
        ),
        small_settings(features.settings_for(m), changes),
    )
    return {p.relative_to(left).as_posix(): p.read_bytes() for p in left.rglob("*.*")}


def computed(caplog) -> list[int]:
    """Return how many shards each stage has computed since the last call, as the log says."""
    lines = [record.message for record in caplog.records if "shards computed" in record.message]
    caplog.clear()
    return [int(line.split()[1]) for line in lines]


def shards_in(files: dict[str, bytes], folder: str) -> set[str]:
    return {path for path in files if path.startswith(folder) and "safetensors" in path}


ORDERS = {
    "appended": [*range(COUNT), 100],
    "spread": [0, 1, 2, 100, *range(3, 9), 101, *range(9, COUNT)],
    "removed": [*range(4), *range(6, COUNT)],
}


@pytest.mark.parametrize(
    ("m", "order"),
    [*((m, "spread") for m in MODALITIES), ("image", "appended"), ("audio", "removed")],
)
def test_incremental_equals_clean(tmp_path, caplog, pretrained, m, order):
    """And only changed shards are computed."""
    caplog.set_level(logging.INFO)
    before = run(m, tmp_path / "grown", pretrained, range(COUNT))
    all_of_them = len(shards_in(before, "tensors"))
    assert computed(caplog) == [all_of_them] * 2 and all_of_them > 3
    grown = run(m, tmp_path / "grown", pretrained, ORDERS[order])
    changed = [len(shards_in(grown, s) - shards_in(before, s)) for s in ("tensors", "features")]
    assert computed(caplog) == changed
    assert changed[0] == changed[1] < all_of_them
    assert changed[0] or order == "removed"  # what is removed may be a whole shard
    assert grown == run(m, tmp_path / "clean", pretrained, ORDERS[order])


@pytest.mark.parametrize("m", MODALITIES)
def test_weights_of_file_are_not_trained(tmp_path, caplog, pretrained, m):
    caplog.set_level(logging.INFO)
    left = run(m, tmp_path, pretrained, range(COUNT))
    file = pretrained / m / "mine.safetensors"
    assert left["encoder.safetensors"] == file.read_bytes()
    assert read_table(tmp_path / "left/history.csv", HISTORY).empty
    assert f"nothing is trained: the encoder is {file}, taken as it is" in caplog.text


def test_file_name_and_training_settings_encode_nothing_again(tmp_path, caplog, pretrained):
    caplog.set_level(logging.INFO)
    run("audio", tmp_path, pretrained, range(COUNT))
    computed(caplog)
    content = (pretrained / "audio/mine.safetensors").read_bytes()
    (pretrained / "audio/other.safetensors").write_bytes(content)
    changes = {"features.audio.pretrained": "other.safetensors", "features.audio.epochs": 9}
    run("audio", tmp_path, pretrained, range(COUNT), **changes)
    assert computed(caplog) == [0, 0]


@pytest.mark.parametrize("change", [{"features.text.heads": 4}, {"threads": 2}])
def test_settings_that_weights_do_not_show_encode_all_again(
    tmp_path, pretrained, monkeypatch, change
):
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    before = run("text", tmp_path, pretrained, range(COUNT))
    after = run("text", tmp_path, pretrained, range(COUNT), **change)
    assert not shards_in(before, "features") & shards_in(after, "features")


def damaged(weights: dict, how: str) -> dict:
    if how == "missing":
        del weights["position"]
    elif how == "additional":
        weights["head.weight"] = torch.zeros(3, 4)
    elif how == "narrow":
        weights["transformer.norm.weight"] = torch.zeros(7)
    else:
        weights["position"] = weights["position"].half()
    return weights


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", r"tensor position: found none, expected torch.float32 \[16, 8\]"),
        ("additional", r"tensor head.weight: found torch.float32 \[3, 4\], expected none"),
        ("narrow", r"tensor transformer.norm.weight: found torch.float32 \[7\], expected .* \[8\]"),
        ("half", r"tensor position: found torch.float16 \[16, 8\], expected torch.float32 \["),
    ],
)
def test_first_unfit_tensor_is_named(tmp_path, pretrained, how, message):
    path = tmp_path / "mine.safetensors"
    save_file(damaged(load_file(pretrained / "text/mine.safetensors"), how), path)
    with pytest.raises(InputError, match=rf"features.text.pretrained: {path} .*{message}"):
        load_weights(build("text"), path, "text")


def test_encoder_of_another_width_is_refused(tmp_path, pretrained):
    with pytest.raises(InputError, match=r"tensor stages.0.0.weight: found .*\[2, 3, 3, 3\], exp"):
        run("image", tmp_path, pretrained, range(3), **{"features.image.width": 16})


@pytest.mark.parametrize("content", [None, b"", b"no weights", bytes(8), b"\xff" * 8 + b"{}"])
def test_file_without_tensors_is_refused(tmp_path, content):
    path = tmp_path / "mine.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"features.image.pretrained: .*mine.safetensors .*read"):
        load_weights(build("image"), path, "image")
