"""A model on disk comes back to the last bit, and what is no model is refused."""

import json

import pytest
import torch

from components.common.errors import InputError
from components.fusion import FUSIONS
from components.modalities.text.processing import train_tokenizer
from components.model.folder import CONFIG, TOKENIZER, WEIGHTS, load_model, save_model
from tests.model.worlds import make_inputs, make_model
from tests.shrunk import small_settings


@pytest.fixture
def tokenizer() -> str:
    return train_tokenizer(["is it red?"], small_settings().preprocess.text).to_str()


@pytest.fixture
def folder(tmp_path, tokenizer):
    save_model(tmp_path / "model", make_model(), tokenizer)
    return tmp_path / "model"


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("blocks", [1, 3])
def test_a_model_comes_back_to_the_last_bit(tmp_path, tokenizer, fusion, blocks):
    changes = {
        "model.size.layers": blocks, "model.size.width": 12, "features.image.width": 12,
    }  # fmt: skip
    model = make_model(fusion=fusion, **changes)
    save_model(tmp_path, model, tokenizer)
    loaded, text = load_model(tmp_path)
    assert loaded.config == model.config
    assert not loaded.training
    state = loaded.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(value.equal(state[name]) for name, value in model.state_dict().items())
    rows = {m: torch.arange(4) for m in ("image", "text", "audio")}
    expected = model(model.encode(make_inputs(4)), rows)
    found = loaded(loaded.encode(make_inputs(4)), rows)
    assert all(found[task].equal(expected[task]) for task in expected)
    assert text.to_str() == tokenizer


def test_the_same_model_gives_the_same_bytes(tmp_path, tokenizer):
    for name in ("a", "b"):
        save_model(tmp_path / name, make_model(seed=5), tokenizer)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_the_folder_holds_safetensors_and_json_only(folder):
    assert {path.name for path in folder.iterdir()} == {WEIGHTS, CONFIG, TOKENIZER}
    json.loads((folder / CONFIG).read_text())
    json.loads((folder / TOKENIZER).read_text())
    header = (folder / WEIGHTS).read_bytes()
    json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG, TOKENIZER])
def test_a_folder_that_lacks_a_file_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=r"dvc repro"):
        load_model(folder)


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG, TOKENIZER])
def test_a_file_that_is_cut_short_is_refused(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"dvc repro"):
        load_model(folder)


def test_a_model_of_another_version_is_refused(folder):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | {"mood": "good"}))
    with pytest.raises(InputError, match=r"(?s)does not hold a model of this version.*mood"):
        load_model(folder)


def test_weights_of_another_size_are_refused(folder, tmp_path, tokenizer):
    save_model(tmp_path / "wide", make_model(**{"model.size.width": 16}), tokenizer)
    (folder / WEIGHTS).write_bytes((tmp_path / "wide" / WEIGHTS).read_bytes())
    with pytest.raises(InputError, match="size mismatch"):
        load_model(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        load_model(tmp_path / "nowhere")
