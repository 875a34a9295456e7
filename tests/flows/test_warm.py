"""Training that starts from the champion: what params.yaml says then."""

import difflib

import pytest
import yaml

from flows.promote import PARAMS, Desk
from flows.warm import changed_settings, start_from_champion
from tests.shrunk import ROOT, change, shipped, small_params, write_params

SETTINGS = {
    "features": {"image": {"pretrained": "champion.safetensors"}},
    "preprocess": {"text": {"tokenizer": "champion.json"}},
    "train": {"start": "champion"},
}


def test_only_the_values_change():
    text = (ROOT / "params.yaml").read_text()
    found = changed_settings(text, SETTINGS)
    keys = {
        "features.image.pretrained": "champion.safetensors",
        "preprocess.text.tokenizer": "champion.json",
        "train.start": "champion",
    }
    assert yaml.safe_load(found) == change(shipped(), keys)
    lines = [line for line in difflib.ndiff(text.splitlines(), found.splitlines())]
    assert [line[2:].split("#")[0].strip() for line in lines if line[0] == "+"] == [
        "tokenizer: champion.json",
        "pretrained: champion.safetensors",
        "start: champion",
    ]
    assert changed_settings(found, SETTINGS) == found


@pytest.mark.parametrize("text", ["train: {start: null, x: é}\n", "train:\n  start: 'old' # why\n"])
def test_values_in_other_styles(text):
    found = changed_settings(text, {"train": {"start": "champion"}})
    assert yaml.safe_load(found)["train"]["start"] == "champion"
    assert ("é" in found) == ("é" in text) and ("# why" in found) == ("# why" in text)


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_no_champion_no_change(store):
    write_params(PARAMS, small_params())
    before = PARAMS.read_bytes()
    assert start_from_champion(Desk(), PARAMS) is None
    assert PARAMS.read_bytes() == before
