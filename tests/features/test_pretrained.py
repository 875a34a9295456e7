"""An encoder from a file is taken as it is, or the file is refused."""

import argparse
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from components.common.errors import InputError
from components.common.hashing import content_id
from components.config.command import View
from components.data import shards
from components.data.shards import Asset, MediaWriter
from components.data.tables import HISTORY, read_table
from components.features import audio, image, teach, text
from components.modalities.encoders import build_encoder
from components.modalities.registry import MODALITIES
from components.preprocess import audio as preprocess_audio
from components.preprocess import image as preprocess_image
from components.preprocess import text as preprocess_text
from tests.shrunk import png, small_settings, wav

STAGES = {
    "image": (preprocess_image, image),
    "text": (preprocess_text, text),
    "audio": (preprocess_audio, audio),
}
CONTENTS = {
    "image": lambda seed: png(seed, size=(20, 30)),
    "text": lambda seed: f"is shape {seed} red?".encode(),
    "audio": wav,
}
NAMED = {
    "preprocess.text.tokenizer": "tokenizer.json",
    **{f"features.{m}.pretrained": "mine.safetensors" for m in MODALITIES},
}
COUNT = 14


@pytest.fixture(autouse=True)
def shards_that_end_where_their_content_says(monkeypatch):
    """With 8 shards or so of a handful of assets."""
    monkeypatch.setattr(shards, "ends_chunk", lambda asset_id, count: int(asset_id[:8], 16) % 2)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> Path:
    """A folder with an encoder of each modality and a tokenizer."""
    folder, settings = tmp_path_factory.mktemp("given") / "pretrained", small_settings()
    torch.manual_seed(0)
    for modality in MODALITIES:
        (folder / modality).mkdir(parents=True)
        encoder = build_encoder(modality, settings.preprocess, settings.features)
        save_file(encoder.state_dict(), folder / modality / "mine.safetensors")
    words = (CONTENTS["text"](seed).decode() for seed in range(COUNT))
    tokenizer = preprocess_text.train_tokenizer(words, settings.preprocess.text)
    tokenizer.save(str(folder / "text/tokenizer.json"))
    return folder


def run(modality: str, folder: Path, pretrained: Path, seeds, **changes) -> dict[str, bytes]:
    """Run both stages of a modality in a folder; the files that they leave."""
    writer = MediaWriter(folder / "media")
    for seed in seeds:
        content = CONTENTS[modality](seed)
        writer.add(Asset(content_id(content), content))
    writer.close()
    left = folder / "left"
    arguments = argparse.Namespace(
        media=folder / "media",
        tensors=left / "tensors",
        tokenizer=left / "tokenizer.json",
        samples=folder / "is not read",
        vocabulary=folder / "is not read",
        pretrained=pretrained / modality,
        features=left / "features",
        encoder=left / "encoder.safetensors",
        history=left / "history.csv",
        checkpoint=left / "checkpoint",
    )
    settings = small_settings(NAMED | changes)
    for module in STAGES[modality]:
        module.work(arguments, View(settings, module.STAGE.params))
    return {p.relative_to(left).as_posix(): p.read_bytes() for p in left.rglob("*.*")}


def computed(caplog) -> list[int]:
    """How many shards each stage computed since the last time, as the log says."""
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


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("modality", MODALITIES)
def test_only_changed_shards_are_computed_and_a_clean_run_leaves_the_same_bytes(
    tmp_path, caplog, pretrained, modality, order
):
    caplog.set_level(logging.INFO)
    before = run(modality, tmp_path / "grown", pretrained, range(COUNT))
    all_of_them = len(shards_in(before, "tensors"))
    assert computed(caplog) == [all_of_them] * 2 and all_of_them > 3
    grown = run(modality, tmp_path / "grown", pretrained, ORDERS[order])
    changed = [len(shards_in(grown, s) - shards_in(before, s)) for s in ("tensors", "features")]
    assert computed(caplog) == changed
    assert changed[0] == changed[1] < all_of_them
    assert changed[0] or order == "removed"  # what goes may be a shard of its own
    assert grown == run(modality, tmp_path / "clean", pretrained, ORDERS[order])


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_weights_are_those_of_the_file_and_nothing_is_trained(
    tmp_path, caplog, pretrained, modality
):
    caplog.set_level(logging.INFO)
    left = run(modality, tmp_path, pretrained, range(COUNT))
    file = pretrained / modality / "mine.safetensors"
    assert left["encoder.safetensors"] == file.read_bytes()
    assert read_table(tmp_path / "left/history.csv", HISTORY).empty
    assert f"nothing is trained: the encoder is {file}, taken as it is" in caplog.text


def test_the_file_s_name_and_how_it_was_taught_encode_nothing_again(tmp_path, caplog, pretrained):
    caplog.set_level(logging.INFO)
    run("audio", tmp_path, pretrained, range(COUNT))
    computed(caplog)
    content = (pretrained / "audio/mine.safetensors").read_bytes()
    (pretrained / "audio/other.safetensors").write_bytes(content)
    changes = {"features.audio.pretrained": "other.safetensors", "features.audio.epochs": 9}
    run("audio", tmp_path, pretrained, range(COUNT), **changes)
    assert computed(caplog) == [0, 0]


@pytest.mark.parametrize("change", [{"features.text.heads": 4}, {"threads": 2}])
def test_what_the_weights_do_not_show_encodes_every_asset_again(
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
def test_a_file_that_does_not_fit_is_refused_with_the_first_tensor_that_does_not(
    tmp_path, pretrained, how, message
):
    path = tmp_path / "mine.safetensors"
    save_file(damaged(load_file(pretrained / "text/mine.safetensors"), how), path)
    encoder = build_encoder("text", small_settings().preprocess, small_settings().features)
    with pytest.raises(InputError, match=rf"features.text.pretrained: {path} .*{message}"):
        teach.take(encoder, path, "text")


def test_an_encoder_of_another_width_is_refused(tmp_path, pretrained):
    with pytest.raises(InputError, match=r"tensor stages.0.0.weight: found .*\[2, 3, 3, 3\], exp"):
        run("image", tmp_path, pretrained, range(3), **{"features.image.width": 16})


@pytest.mark.parametrize("content", [None, b"", b"no weights", bytes(8), b"\xff" * 8 + b"{}"])
def test_a_file_that_holds_no_tensors_is_refused(tmp_path, content):
    path = tmp_path / "mine.safetensors"
    if content is not None:
        path.write_bytes(content)
    encoder = build_encoder("image", small_settings().preprocess, small_settings().features)
    with pytest.raises(InputError, match=r"features.image.pretrained: .*mine.safetensors .*read"):
        teach.take(encoder, path, "image")
