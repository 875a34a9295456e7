"""A model on disk comes back to the last bit; anything else is refused."""

import json

import pytest
import torch

from components.common.errors import InputError
from components.fusion.registry import FUSIONS
from components.model.folder import (
    CONFIG,
    PROCESSORS,
    WEIGHTS,
    load_model,
    load_processor_states,
    save_model,
)
from tests.support.tiny_model import PRESENT, make_inputs, make_model, make_processors


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path / "model", make_model(), make_processors())
    return tmp_path / "model"


@pytest.mark.parametrize("fusion", FUSIONS)
def test_loaded_equals_saved(tmp_path, fusion):
    size = {"width": 12, "layers": 3, "heads": 2}
    model = make_model(fusion=fusion, **{"model.size": size, "features.image.width": 12})
    save_model(tmp_path, model, make_processors())
    loaded = load_model(tmp_path)
    assert loaded.config == model.config
    assert not loaded.training
    state = loaded.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(value.equal(state[name]) for name, value in model.state_dict().items())
    rows = {m: torch.arange(4) for m in PRESENT}
    expected = model(model.encode(make_inputs(4)), rows)
    found = loaded(loaded.encode(make_inputs(4)), rows)
    assert all(found[task].equal(expected[task]) for task in expected)
    assert load_processor_states(tmp_path, loaded) == make_processors()


def test_equal_models_have_equal_bytes(tmp_path):
    for name in ("a", "b"):
        save_model(tmp_path / name, make_model(seed=5), make_processors())
    for path in filter(lambda path: path.is_file(), (tmp_path / "a").rglob("*")):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes()


def test_folder_holds_safetensors_and_json_only(folder):
    processors = [f"{PROCESSORS}/{m}.json" for m in PRESENT]
    names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert names == {WEIGHTS, CONFIG, *processors}
    for name in (CONFIG, *processors):
        json.loads((folder / name).read_text())
    header = (folder / WEIGHTS).read_bytes()
    json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])


def test_model_of_two_modalities_has_two_processors(tmp_path):
    model = make_model(modalities=("image", "text"))
    save_model(tmp_path, model, make_processors())
    assert {p.stem for p in (tmp_path / PROCESSORS).iterdir()} == {"image", "text"}
    loaded = load_model(tmp_path)
    assert list(load_processor_states(tmp_path, loaded)) == ["image", "text"]
    assert not [name for name in loaded.state_dict() if "audio" in name]


FILES = [WEIGHTS, CONFIG, f"{PROCESSORS}/text.json"]


def load(folder) -> None:
    load_processor_states(folder, load_model(folder))


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_refused(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match="dvc repro"):
        load(folder)


@pytest.mark.parametrize("name", FILES)
def test_truncated_file_is_refused(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="dvc repro"):
        load(folder)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mood": "good"}, "mood"),
        ({"modalities": ["image", "smell"]}, "smell"),
        ({"modalities": ["image"], "inputs": {}}, "image"),
        ({"tasks": {"a": {"kind": "poem", "vocabulary": {}, "sufficient_modalities": []}}}, "poem"),
    ],
)
def test_config_of_another_version_is_refused(folder, changes, named):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | changes))
    with pytest.raises(InputError, match=rf"(?s)does not hold a model of this version.*{named}"):
        load_model(folder)


def test_weights_of_another_size_are_refused(folder, tmp_path):
    wide = make_model(**{"model.size": {"width": 16, "layers": 1, "heads": 2}})
    save_model(tmp_path / "wide", wide, make_processors())
    (folder / WEIGHTS).write_bytes((tmp_path / "wide" / WEIGHTS).read_bytes())
    with pytest.raises(InputError, match="size mismatch"):
        load_model(folder)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        load_model(tmp_path / "nowhere")
