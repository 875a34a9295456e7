"""Models of Transformers that cannot be used are refused with the way out."""

import json
import sys
from pathlib import Path

import huggingface_hub
import pytest
import transformers as hf
from safetensors.torch import load_file, save_file

from components.common.errors import InputError
from components.features.settings import settings_for
from components.huggingface import models
from components.modalities.image.processing import HuggingFaceImageProcessor
from components.modalities.registry import MODALITIES, encoders_of
from tests.support import published
from tests.support.params import small_settings
from tests.support.process import run_python

COMMIT = "0a" * 20


def folder_with(tmp_path: Path, make, **files: str) -> Path:
    """Return a folder of a model in which some files have other contents, or, if None, are lost."""
    published.save(tmp_path / "mine", make)
    for name, content in files.items():
        path = tmp_path / "mine" / name.replace("__", ".")
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
    return tmp_path


def assert_refused(message: str, folder: Path, m: str, name: str = "mine") -> None:
    with pytest.raises(InputError, match=rf"features.{m}.encoder: .*{message}"):
        published.describe_encoder(name, folder, m)


@pytest.mark.parametrize(
    ("m", "name", "message"),
    [
        ("image", "resnet81", "'resnet81' is unknown. Did you mean 'resnet18'"),
        ("image", "cilp", r"Did you mean 'clip' .*\? Valid here: convolutional, a classific"),
        ("text", "brt", r"Did you mean 'bert'.*found: .*bert, .*package:<module>/<folder>"),
        ("audio", "patch", "Did you mean 'patches'"),
        ("audio", "package:no_such/model", "no Python package 'no_such' is installed"),
        ("audio", "package:no_such.one/model", "no Python package 'no_such.one' is installed"),
        ("audio", "package:json/model", "json/model is not a folder. Name one that the package js"),
    ],
)
def test_unknown_name_suggests_nearest(folder, m, name, message):
    assert_refused(message, folder, m, name)


@pytest.mark.parametrize(
    ("m", "name", "message"),
    [
        ("image", "bert", "its BertModel reads input_ids, expected pixel_values: it encodes ano"),
        ("image", "clap", "its ClapModel reads input_ids, expected pixel_values: it encodes ano"),
        ("text", "vit", "its ViTModel reads pixel_values, expected input_ids: it encodes another"),
        ("text", "whisper", "its WhisperEncoder reads input_features, expected input_ids: it enc"),
        ("audio", "clip", "its CLIPModel reads input_ids, expected input_values or input_featur"),
    ],
)
def test_model_of_another_modality_is_refused(folder, m, name, message):
    assert_refused(message, folder, m, name)


def test_pickled_weights_are_refused(tmp_path):
    folder = folder_with(tmp_path, published.vit, model__safetensors=None, pytorch_model__bin="x")
    message = "no .*safetensors, only pytorch_model.bin; pickles are not loaded"
    assert_refused(message, folder, "image")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config__json", None, "its config.json cannot be read"),
        ("config__json", "{", "its config.json cannot be read"),
        ("config__json", "{}", "has the model_type None, which Transformers .* does not know"),
        ("config__json", '{"model_type": "mine", "auto_map": {}}', "code that a model brings"),
        ("config__json", '{"model_type": "vit", "hidden_size": "wide"}', "cannot be used"),
        ("preprocessor_config__json", None, "cannot be used: .*preprocessor_config.json"),
    ],
)
def test_incomplete_folder_is_refused(tmp_path, file, content, message):
    assert_refused(message, folder_with(tmp_path, published.vit, **{file: content}), "image")


def test_missing_weights_are_refused(tmp_path):
    published.save(tmp_path / "mine", published.dinov2)
    path, interface = tmp_path / "mine/model.safetensors", encoders_of("image").INTERFACE
    tensors = load_file(path)
    lost = tensors.pop("layernorm.weight")
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(InputError, match="its weights lack 1 tensors, the first is layernorm.weig"):
        models.weights(path.parent, interface)
    save_file(tensors | {"layernorm.weight": lost}, path, {"format": "pt"})
    assert models.weights(path.parent, interface)["layernorm.weight"].equal(lost)


def test_processor_with_several_image_sizes_is_refused():
    uncut = hf.CLIPImageProcessor(size={"shortest_edge": 36}, do_center_crop=False)
    with pytest.raises(InputError, match="its processor leaves images of several sizes"):
        HuggingFaceImageProcessor(json.loads(uncut.to_json_string()))


def test_tokenizer_larger_than_model_is_refused(tmp_path):
    def small():
        config = hf.BertConfig(**published.TEXT | {"vocab_size": 9})
        return hf.BertModel(config), published.tokenizer()

    message = "its tokenizer has 22 tokens, but the model 9"
    assert_refused(message, folder_with(tmp_path, small), "text")


def test_tokenizer_without_attention_mask_is_refused(tmp_path):
    def blind():
        tokenizer = published.tokenizer(model_input_names=["input_ids"])
        return hf.BertModel(hf.BertConfig(**published.TEXT)), tokenizer

    assert_refused("gives no attention mask", folder_with(tmp_path, blind), "text")


def test_too_long_texts_are_refused(folder):
    changes = {"preprocess.text.max_tokens": published.LONGEST + 1}
    with pytest.raises(InputError, match=r"max_tokens: found 25, but the encoder bert reads 24"):
        published.build_processor(
            "bert", folder, "text", small_settings(settings_for("text"), changes)
        )


@pytest.mark.parametrize(("name", "longest"), [("whisper", 30), ("ast", 2), ("clap", 10)])
def test_too_long_sounds_are_refused(folder, name, longest):
    changes = {"preprocess.audio.max_seconds": longest + 0.5}
    settings = small_settings(settings_for("audio"), changes)
    with pytest.raises(InputError, match=rf"max_seconds: found {longest}.5, .* hears {longest} se"):
        published.build_encoder(name, folder, "audio", settings)


def test_missing_library_names_way_out(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    way_out = r"cannot be imported: .*pip install -e '\.\[huggingface\]'"
    assert_refused(way_out, folder, "text", "bert")


def test_unreachable_hub_names_way_out(folder, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    name = f"team/model@{COMMIT}"
    assert_refused("team/model at .* cannot be fetched: no route", folder, "text", name)
    with pytest.raises(InputError, match=f"hf download team/model --revision {COMMIT} --include"):
        published.describe_encoder(name, folder, "text")


def test_model_of_hub_is_read_at_its_commit(folder, monkeypatch):
    asked = []

    def give(repository, revision, allow_patterns):
        asked.append((repository, revision))
        assert not {"*", "*.bin", "*.py"} & set(allow_patterns)
        return str(folder / "bert")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", give)
    described = published.describe_encoder(f"team/model@{COMMIT}", folder, "text")
    assert described == published.describe_encoder("bert", folder, "text")
    assert asked == [("team/model", COMMIT)]


@pytest.mark.slow  # imports torch anew
def test_library_is_not_imported_without_need(tmp_path):
    script = f"""
import sys
from components.features import __main__
from components.model import predictor
from components.preprocess import __main__
from components.common.plugins import load_part
from components.modalities.registry import encoders_of, processing_of
for m in {MODALITIES!r}:
    encoders_of(m), processing_of(m), load_part('components.modalities', m, 'training')
assert 'torch' in sys.modules and 'transformers' not in sys.modules
"""
    done = run_python("-c", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
