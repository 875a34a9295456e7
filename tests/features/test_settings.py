"""Settings of encoders: names, weights, and the tokenizer that a text encoder needs."""

import pytest

from components.features.settings import settings_for
from components.modalities.registry import MODALITIES
from tests.support.params import settings_problems, shipped

COMMIT = "0a" * 20
ENCODER = "expected the name of an encoder or of a folder that lies in the modality's folder of"
WEIGHTS = "expected the name of a .safetensors file that lies in the modality's folder of"
TOKENIZER = "expected the name of a .json file that lies in pretrained/text, or name@revision on"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("features.image.encoder", "google/vit@main", ENCODER),
        ("features.image.encoder", "../vit", ENCODER),
        ("features.image.encoder", "/tmp/vit", ENCODER),
        ("features.text.encoder", "package:a/../b", ENCODER),
        ("features.image.pretrained", "a.pt", WEIGHTS),
        ("features.image.pretrained", "/tmp/a.safetensors", WEIGHTS),
        ("features.audio.pretrained", "../a.safetensors", WEIGHTS),
        ("preprocess.text.tokenizer", "bert-base-uncased", TOKENIZER),
        ("preprocess.text.tokenizer", "bert-base-uncased@main", TOKENIZER),
        ("preprocess.text.tokenizer", f"a/b/c@{COMMIT}", TOKENIZER),
        ("preprocess.text.tokenizer", "../tokenizer.json", TOKENIZER),
    ],
)
def test_odd_name_is_refused(key, value, expected):
    (line,) = settings_problems(settings_for(key.split(".")[1]), {key: value})
    assert line.startswith(f"{key}: found {value!r}, {expected}")
    assert ("40 hexadecimal digits of a commit" in line) == (expected != WEIGHTS)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("features.audio.pretrained", 7, ".pretrained: input should be a valid string, found 7"),
        ("features.text.width", 30, ".width: input should be a multiple of 4, found 30"),
        ("features.text.heads", 5, ": heads (5) must divide width (64)"),
        ("features.audio.heads", 5, ": heads (5) must divide width (64)"),
        ("features.tabular.heads", 5, ": heads (5) must divide width (64)"),
        ("features.image.dropout", 1.0, ".dropout: input should be less than 1, found 1.0"),
        ("preprocess.image.size", 40, ".size: input should be a multiple of 16, found 40"),
        ("preprocess.text.vocab_size", 256, ".vocab_size: input should be greater than or equal"),
        ("preprocess.audio.hop_length", 2048, ": hop_length (2048) must not exceed n_fft (1024)"),
        ("preprocess.audio.sample_rate", 0, ".sample_rate: input should be greater than or equal"),
        ("preprocess.tabular.knots", 1, ".knots: input should be greater than or equal to 2"),
    ],
)
def test_wrong_value_is_named_with_its_key(key, value, expected):
    section = key.rpartition(".")[0]
    (line,) = settings_problems(settings_for(key.split(".")[1]), {key: value})
    assert line.startswith(f"{section}{expected}")


def test_images_have_no_transformer_options():
    section = shipped()["features"]["image"] | {"layers": 2}
    (line,) = settings_problems(settings_for("image"), {"features.image": section})
    assert line.startswith("features.image.layers: unknown key. Valid here: ")


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize(
    "encoder",
    ["resnet18", f"google/vit-b.16@{COMMIT}", f"gpt2@{'9' * 40}", "package:a.b/c/d-e", "mine"],
)
def test_encoder_may_be_named_in_every_way(modality, encoder):
    assert (
        settings_problems(settings_for(modality), {f"features.{modality}.encoder": encoder}) == []
    )


@pytest.mark.parametrize("tokenizer", ["mine.json", f"gpt2@{COMMIT}", f"a/b-c.d@{'9' * 40}"])
def test_weights_and_tokenizer_may_be_named(tokenizer):
    for m in MODALITIES:
        changes = {f"features.{m}.pretrained": f"{m}.safetensors"}
        changes["preprocess.text.tokenizer"] = tokenizer
        changes["preprocess.tabular.columns"] = "columns.json"
        assert settings_problems(settings_for(m), changes) == []


@pytest.mark.parametrize(("m", "needed"), [("text", "tokenizer"), ("tabular", "columns")])
def test_weights_need_what_they_were_trained_with(m, needed):
    changes = {f"features.{m}.pretrained": "a.safetensors"}
    (line,) = settings_problems(settings_for(m), changes)
    assert line.startswith(f"features.{m}.pretrained needs preprocess.{m}.{needed}: name the ")


def test_pretrained_text_encoder_takes_no_tokenizer():
    changes = {"features.text.encoder": "mine", "preprocess.text.tokenizer": "mine.json"}
    (line,) = settings_problems(settings_for("text"), changes)
    assert line == (
        "features.text.encoder mine has a tokenizer of its own, so set preprocess.text.tokenizer "
        "to null, found mine.json"
    )
