"""The preprocess stages: the same bytes on any number of workers, fresh or incremental."""

import argparse
import json
import subprocess
from pathlib import Path
from unittest.mock import Mock

import huggingface_hub
import pytest
from safetensors.torch import load_file

from components.common.errors import InputError
from components.common.hashing import content_id
from components.config.command import View
from components.data import shards
from components.data.shards import Asset, MediaWriter, read_index
from components.preprocess import audio, image, text
from tests.shrunk import (
    assert_refused,
    png,
    run_python,
    small_params,
    small_settings,
    wav,
    write_params,
)

COUNT = 12
CONTENTS = {
    "image": [png(seed, size=(20 + seed, 30)) for seed in range(COUNT)],
    "text": [f"is shape {seed} red?".encode() for seed in range(COUNT)],
    "audio": [wav(seed) for seed in range(COUNT)],
}
STAGES = {"image": image, "text": text, "audio": audio}


@pytest.fixture(autouse=True)
def shards_of_three(monkeypatch):
    monkeypatch.setattr(shards, "ends_chunk", lambda asset_id, count: count == 3)


def write_media(folder: Path, contents: list[bytes]) -> None:
    writer = MediaWriter(folder)
    for content in contents:
        writer.add(Asset(content_id(content), content))
    writer.close()


def run(modality: str, media: Path, target: Path, workers: int = 1, **changes) -> dict[str, bytes]:
    """Run a stage's work; the files that it leaves."""
    stage = STAGES[modality]
    arguments = argparse.Namespace(
        media=media,
        pretrained=media.parent / "pretrained",
        tensors=target / "tensors",
        tokenizer=target / "tokenizer.json",
    )
    stage.work(arguments, View(small_settings({"workers": workers, **changes}), stage.STAGE.params))
    return {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*.*")}


@pytest.mark.parametrize("modality", CONTENTS)
def test_two_workers_leave_what_one_leaves(tmp_path, modality):
    write_media(tmp_path / "media", CONTENTS[modality])
    one, two = (run(modality, tmp_path / "media", tmp_path / str(n), n) for n in (1, 2))
    assert one == two
    assert len(read_index(tmp_path / "1" / "tensors")) == COUNT // 3


@pytest.mark.parametrize("modality", CONTENTS)
def test_a_modality_without_media_leaves_a_set_without_assets(tmp_path, modality):
    write_media(tmp_path / "media", [])
    left = run(modality, tmp_path / "media", tmp_path / "out")
    tokenizer = {"tokenizer.json"} if modality == "text" else set()
    assert set(left) == {"tensors/index.parquet"} | tokenizer
    assert read_index(tmp_path / "out" / "tensors") == []


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_new_assets_leave_the_shards_before_them_alone(tmp_path, modality):
    write_media(tmp_path / "media", CONTENTS[modality][:-3])
    run(modality, tmp_path / "media", tmp_path / "grown")
    folder = tmp_path / "grown" / "tensors"
    before = {path.name: path.stat().st_ino for path in folder.glob("*.safetensors")}
    write_media(tmp_path / "media", CONTENTS[modality])
    grown = run(modality, tmp_path / "media", tmp_path / "grown")
    after = {path.name: path.stat().st_ino for path in folder.glob("*.safetensors")}
    assert before.items() < after.items()
    assert grown == run(modality, tmp_path / "media", tmp_path / "fresh")


def test_a_new_text_that_changes_the_tokenizer_encodes_every_text_again(tmp_path):
    write_media(tmp_path / "media", CONTENTS["text"])
    before = run("text", tmp_path / "media", tmp_path / "grown")
    write_media(tmp_path / "media", [*CONTENTS["text"], b"zebra zebra zebra"])
    after = run("text", tmp_path / "media", tmp_path / "grown")
    assert before["tokenizer.json"] != after["tokenizer.json"]
    assert set(before) & set(after) == {"tokenizer.json", "tensors/index.parquet"}
    assert json.loads(after["tokenizer.json"])["model"]["type"] == "BPE"


def test_a_tokenizer_from_elsewhere_is_used_and_a_change_of_its_file_is_seen(tmp_path):
    write_media(tmp_path / "media", CONTENTS["text"])
    trained = run("text", tmp_path / "media", tmp_path / "trained")
    file = tmp_path / "pretrained/mine.json"
    file.parent.mkdir()
    file.write_bytes(trained["tokenizer.json"])
    change = {"preprocess.text.tokenizer": "mine.json"}
    read = run("text", tmp_path / "media", tmp_path / "read", **change)
    assert read == trained
    other = json.loads(trained["tokenizer.json"])
    other["model"]["merges"].pop()
    file.write_text(json.dumps(other))
    again = run("text", tmp_path / "media", tmp_path / "read", **change)
    assert set(read) & set(again) == {"tokenizer.json", "tensors/index.parquet"}


COMMIT = "0123456789" * 4
PHRASE = "preprocess.text.tokenizer: the tokenizer.json of team/words at"


def run_by_name(folder: Path, name: str) -> subprocess.CompletedProcess:
    """The stage's command with a tokenizer of the Hub, whose cache lies in `folder`."""
    write_media(folder / "media", CONTENTS["text"])
    (folder / "pretrained").mkdir()
    write_params(folder / "params.yaml", small_params({"preprocess.text.tokenizer": name}))
    command = ["-m", "components.preprocess.text", "--media", "media", "--tensors", "tensors"]
    command += ["--pretrained", "pretrained", "--tokenizer", "tokenizer.json"]
    hub = {"HF_HOME": str(folder / "hub"), "HF_HUB_CACHE": str(folder / "hub/hub")}
    return run_python(*command, cwd=folder, HF_HUB_OFFLINE="1", **hub)


def test_a_tokenizer_of_the_hub_is_read_from_its_cache(tmp_path):
    write_media(tmp_path / "trained/media", CONTENTS["text"])
    trained = run("text", tmp_path / "trained/media", tmp_path / "trained")
    repository = tmp_path / "hub/hub/models--team--words"
    for folder in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (repository / folder).mkdir(parents=True)
    (repository / "blobs/etag").write_bytes(trained["tokenizer.json"])
    (repository / "refs/main").write_text("9" * 40)  # another commit by now
    (repository / f"snapshots/{COMMIT}/tokenizer.json").symlink_to("../../blobs/etag")
    process = run_by_name(tmp_path, f"team/words@{COMMIT}")
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "tokenizer.json").read_bytes() == trained["tokenizer.json"]
    shards = {p.name: p.read_bytes() for p in (tmp_path / "tensors").iterdir()}
    assert shards == {p[8:]: c for p, c in trained.items() if p.startswith("tensors/")}


def test_a_tokenizer_of_the_hub_that_cannot_be_had_is_refused_with_the_way_out(tmp_path):
    process = run_by_name(tmp_path, f"team/words@{COMMIT}")
    assert_refused(process, f"{PHRASE} {COMMIT} cannot be had")
    assert f"hf download team/words tokenizer.json --revision {COMMIT}" in process.stderr


def test_a_tokenizer_whose_repository_is_not_there_is_refused(tmp_path, monkeypatch):
    def answer(*_, **__):
        raise huggingface_hub.errors.RemoteEntryNotFoundError("404", response=Mock())

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", answer)
    with pytest.raises(InputError, match=f"{PHRASE} {COMMIT} cannot be had: 404"):
        text.find_tokenizer(f"team/words@{COMMIT}", tmp_path)


def test_another_setting_converts_every_asset_again(tmp_path):
    write_media(tmp_path / "media", CONTENTS["image"])
    run("image", tmp_path / "media", tmp_path)
    run("image", tmp_path / "media", tmp_path, **{"preprocess.image.size": 16})
    for path in (tmp_path / "tensors").glob("*.safetensors"):
        assert load_file(path)["pixels"].shape == (3, 3, 16, 16)
