"""Preprocessing: the same bytes with any number of workers, fresh or incremental."""

import json
from pathlib import Path
from unittest.mock import Mock

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file

from components.common.errors import InputError
from components.common.hashing import content_id
from components.data import shards
from components.data.shards import Asset, MediaWriter, read_index
from components.modalities.modality import UnusableAsset
from components.modalities.registry import MODALITIES, processing_of
from components.modalities.text.processing import find_tokenizer
from components.preprocess.__main__ import PreprocessArguments, main
from components.preprocess.settings import settings_for
from tests.support.media import png, wav
from tests.support.params import small_settings

COUNT = 12
CONTENTS = {
    "image": [png(seed, size=(20 + seed, 30)) for seed in range(COUNT)],
    "text": [f"is shape {seed} red?".encode() for seed in range(COUNT)],
    "audio": [wav(seed) for seed in range(COUNT)],
    "tabular": [f'{{"age": "{seed}", "breed": "tabby"}}'.encode() for seed in range(COUNT)],
}
FITS = [{"preprocess.image.fit": fit} for fit in ("pad", "squash")]
PROCESSOR = "processor.json"
COMMIT = "0123456789" * 4
PHRASE = "preprocess.text.tokenizer: the tokenizer.json of team/words at"


@pytest.fixture(autouse=True)
def shards_of_three(monkeypatch):
    monkeypatch.setattr(shards, "ends_chunk", lambda asset_id, count: count == 3)


def write_media(folder: Path, contents: list[bytes]) -> None:
    writer = MediaWriter(folder)
    for content in contents:
        writer.add(Asset(content_id(content), content))
    writer.close()


def run(m: str, media: Path, target: Path, workers: int = 1, **changes) -> dict[str, bytes]:
    """Run the stage of a modality; return the files that it leaves."""
    arguments = PreprocessArguments(
        modality=m,
        media=media,
        pretrained=media.parent / "pretrained",
        tensors=target / "tensors",
        processor=target / PROCESSOR,
    )
    main(arguments, small_settings(settings_for(m), {"workers": workers, **changes}))
    return {p.relative_to(target).as_posix(): p.read_bytes() for p in target.rglob("*.*")}


@pytest.mark.parametrize("m", MODALITIES)
def test_two_workers_equal_one(tmp_path, m):
    write_media(tmp_path / "media", CONTENTS[m])
    one, two = (run(m, tmp_path / "media", tmp_path / str(n), n) for n in (1, 2))
    assert one == two
    assert len(read_index(tmp_path / "1" / "tensors")) == COUNT // 3


@pytest.mark.parametrize(
    ("m", "changes"), [*((m, {}) for m in MODALITIES), *(("image", fit) for fit in FITS)]
)
def test_state_rebuilds_processor(tmp_path, m, changes):
    """So that what is predicted is converted as what was learnt from."""
    write_media(tmp_path / "media", CONTENTS[m])
    run(m, tmp_path / "media", tmp_path, **changes)
    process = processing_of(m).build(json.loads((tmp_path / PROCESSOR).read_text()))
    first = read_index(tmp_path / "tensors")[0]
    stored = load_file(tmp_path / "tensors" / f"{first.name}.safetensors")
    tensors = process(CONTENTS[m][:3])
    assert set(tensors) == set(stored)
    assert all(torch.as_tensor(value).equal(stored[name]) for name, value in tensors.items())


@pytest.mark.parametrize("m", MODALITIES)
def test_without_media_there_are_no_assets(tmp_path, m):
    write_media(tmp_path / "media", [])
    left = run(m, tmp_path / "media", tmp_path / "out")
    assert set(left) == {"tensors/index.parquet", PROCESSOR}
    assert read_index(tmp_path / "out" / "tensors") == []


@pytest.mark.parametrize(
    ("m", "changes"), [("image", {}), ("audio", {}), *(("image", fit) for fit in FITS)]
)
def test_new_assets_leave_earlier_shards_alone(tmp_path, m, changes):
    write_media(tmp_path / "media", CONTENTS[m][:-3])
    run(m, tmp_path / "media", tmp_path / "grown", **changes)
    folder = tmp_path / "grown" / "tensors"
    before = {path.name: path.stat().st_ino for path in folder.glob("*.safetensors")}
    write_media(tmp_path / "media", CONTENTS[m])
    grown = run(m, tmp_path / "media", tmp_path / "grown", **changes)
    after = {path.name: path.stat().st_ino for path in folder.glob("*.safetensors")}
    assert before.items() < after.items()
    assert grown == run(m, tmp_path / "media", tmp_path / "fresh", **changes)


@pytest.mark.parametrize(
    ("m", "new"), [("text", b"zebra zebra zebra"), ("tabular", b'{"age": "99"}')]
)
def test_asset_that_changes_processor_converts_all_again(tmp_path, m, new):
    write_media(tmp_path / "media", CONTENTS[m])
    before = run(m, tmp_path / "media", tmp_path / "grown")
    write_media(tmp_path / "media", [*CONTENTS[m], new])
    after = run(m, tmp_path / "media", tmp_path / "grown")
    assert before[PROCESSOR] != after[PROCESSOR]
    assert set(before) & set(after) == {PROCESSOR, "tensors/index.parquet"}


def test_trained_tokenizer_is_byte_pair_encoding(tmp_path):
    write_media(tmp_path / "media", CONTENTS["text"])
    left = run("text", tmp_path / "media", tmp_path / "out")
    assert json.loads(left[PROCESSOR])["tokenizer"]["model"]["type"] == "BPE"


def test_pretrained_tokenizer_is_used(tmp_path):
    """And a change of its file converts every asset again."""
    write_media(tmp_path / "media", CONTENTS["text"])
    trained = run("text", tmp_path / "media", tmp_path / "trained")
    tokenizer = json.loads(trained[PROCESSOR])["tokenizer"]
    file = tmp_path / "pretrained/mine.json"
    file.parent.mkdir()
    file.write_text(json.dumps(tokenizer))
    change = {"preprocess.text.tokenizer": "mine.json"}
    read = run("text", tmp_path / "media", tmp_path / "read", **change)
    assert read == trained
    tokenizer["model"]["merges"].pop()
    file.write_text(json.dumps(tokenizer))
    again = run("text", tmp_path / "media", tmp_path / "read", **change)
    assert set(read) & set(again) == {PROCESSOR, "tensors/index.parquet"}
    assert read[PROCESSOR] != again[PROCESSOR]


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """The cache of the Hub, which cannot be reached."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def run_with_tokenizer(folder: Path, name: str) -> dict[str, bytes]:
    """Run the stage with a tokenizer of the Hub; return the files that it leaves."""
    write_media(folder / "media", CONTENTS["text"])
    return run("text", folder / "media", folder / "out", **{"preprocess.text.tokenizer": name})


def test_tokenizer_of_hub_is_read_from_cache(tmp_path, hub):
    write_media(tmp_path / "trained/media", CONTENTS["text"])
    trained = run("text", tmp_path / "trained/media", tmp_path / "trained/out")
    repository = hub / "models--team--words"
    for folder in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (repository / folder).mkdir(parents=True)
    tokenizer = json.loads(trained[PROCESSOR])["tokenizer"]
    (repository / "blobs/etag").write_text(json.dumps(tokenizer))
    (repository / "refs/main").write_text("9" * 40)  # another commit by now
    (repository / f"snapshots/{COMMIT}/tokenizer.json").symlink_to("../../blobs/etag")
    assert run_with_tokenizer(tmp_path, f"team/words@{COMMIT}") == trained


def test_missing_tokenizer_of_hub_names_way_out(tmp_path, hub):
    with pytest.raises(InputError, match=f"{PHRASE} {COMMIT} cannot be fetched") as refused:
        run_with_tokenizer(tmp_path, f"team/words@{COMMIT}")
    way_out = f"hf download team/words tokenizer.json --revision {COMMIT}"
    assert way_out in str(refused.value)


def test_missing_repository_of_hub_is_refused(tmp_path, monkeypatch):
    def answer(*_, **__):
        raise huggingface_hub.errors.RemoteEntryNotFoundError("404", response=Mock())

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", answer)
    with pytest.raises(InputError, match=f"{PHRASE} {COMMIT} cannot be fetched: 404"):
        find_tokenizer(f"team/words@{COMMIT}", tmp_path)


def test_other_settings_convert_all_again(tmp_path):
    write_media(tmp_path / "media", CONTENTS["image"])
    run("image", tmp_path / "media", tmp_path)
    run("image", tmp_path / "media", tmp_path, **{"preprocess.image.size": 16})
    for path in (tmp_path / "tensors").glob("*.safetensors"):
        assert load_file(path)["pixels"].shape == (3, 3, 16, 16)


def test_each_fit_makes_other_shards(tmp_path):
    write_media(tmp_path / "media", CONTENTS["image"])
    made = [run("image", tmp_path / "media", tmp_path, **fit) for fit in ({}, *FITS)]
    shards = [set(of.values()) - set(others.values()) for of in made for others in made]
    assert sum(map(bool, shards)) == 6  # of three, each differs from both others


def test_unusable_file_stops_workers_with_its_reason(tmp_path):
    """The error passes from a worker process to the stage."""
    write_media(tmp_path / "media", [*CONTENTS["image"], b"no image"])
    with pytest.raises(UnusableAsset, match="not a valid JPEG, PNG") as refused:
        run("image", tmp_path / "media", tmp_path, workers=2)
    assert refused.value.reason == "image_undecodable"


LONG = {
    "text": ("max_tokens", 4, [b"a", b"is the shape red or is it green?", b"b"]),
    "audio": ("max_seconds", 0.3, [wav(rate=8000), wav(np.zeros(800)), wav(np.ones(2480))]),
}


@pytest.mark.parametrize("m", LONG)
def test_files_that_are_cut_are_counted(tmp_path, caplog, m):
    """Also when their shards are there already."""
    setting, value, contents = LONG[m]
    write_media(tmp_path / "media", contents)
    name = f"preprocess.{m}.{setting}"
    for _ in range(2):
        caplog.clear()
        run(m, tmp_path / "media", tmp_path, **{name: value})
        (warning,) = [line.message for line in caplog.records if line.levelname == "WARNING"]
        assert warning.startswith(f"1 of 3 files (33.3 %) are longer than {name} keeps")


@pytest.mark.parametrize("m", MODALITIES)
def test_nothing_is_said_if_nothing_is_cut(tmp_path, caplog, m):
    write_media(tmp_path / "media", CONTENTS[m])
    run(m, tmp_path / "media", tmp_path)
    assert not [line for line in caplog.records if line.levelname == "WARNING"]
