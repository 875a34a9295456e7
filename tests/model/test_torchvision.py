"""Torchvision's classification models as encoders: what their own classifiers read."""

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models
from torchvision.transforms.v2 import functional as vision

from components.common.errors import InputError
from components.features import teach
from components.huggingface.locate import backbones
from components.modalities.image.encoders.torchvision import DEVIATION, MEAN, TorchvisionEncoder
from components.modalities.settings import ImageSettings
from tests.shrunk import small_settings

FAMILIES = {  # one of each, and the part of it that reads the pooled features
    "densenet121": "classifier",
    "efficientnet_b0": "classifier",
    "googlenet": "fc",
    "inception_v3": "fc",
    "mnasnet0_5": "classifier",
    "mobilenet_v2": "classifier",
    "mobilenet_v3_small": "classifier",
    "regnet_y_400mf": "fc",
    "resnet18": "fc",
    "shufflenet_v2_x0_5": "fc",
    "swin_t": "head",
    "vit_b_32": "heads",
}
OTHERS = ("alexnet", "convnext_tiny", "squeezenet1_1")  # whose classifiers do more than read a mean


def build(name: str, size: int) -> TorchvisionEncoder:
    options = small_settings().features.image.model_copy(update={"encoder": name})
    torch.manual_seed(0)
    return TorchvisionEncoder(ImageSettings(size=size), options).eval()


def pixels(size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, size, size), generator=generator, dtype=torch.uint8)


def whole(name: str, size: int) -> torch.nn.Module:
    """Torchvision's own model, its weights those that `build` gives the encoder of that name."""
    options = {"image_size": size} if name.startswith("vit") else {}
    if name in ("googlenet", "inception_v3"):
        options = {"init_weights": False, "aux_logits": False}
    return models.get_model(name, **options).eval()


@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_the_classifier_finds_its_answer_in_the_pooled_features(tmp_path, name):
    size = 96 if name != "vit_b_32" else 64
    model, encoder = whole(name, size), build(name, size)
    save_file(model.state_dict(), tmp_path / "theirs.safetensors")
    teach.take(encoder, tmp_path / "theirs.safetensors", "image")
    given = vision.normalize(pixels(size) / 255, list(MEAN), list(DEVIATION))
    features = encoder(pixels(size))
    logits = getattr(model, FAMILIES[name])(features.pooled)
    torch.testing.assert_close(logits, model(given), atol=1e-4, rtol=1e-4)
    assert features.tokens.shape == (2, features.mask.shape[1], encoder.width)
    assert features.mask.all()


@pytest.mark.parametrize("name", OTHERS)
def test_features_have_a_token_for_each_place(name):
    encoder = build(name, 96).train()
    features = encoder(pixels(96))
    assert features.tokens.shape[2] == features.pooled.shape[1] == encoder.width
    torch.testing.assert_close(features.pooled, features.tokens.mean(1))
    features.pooled.sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_a_file_of_an_earlier_run_is_taken_too(tmp_path):
    one, other = build("mobilenet_v3_small", 32), build("mobilenet_v3_small", 32)
    for parameter in one.parameters():
        torch.nn.init.normal_(parameter)
    save_file(one.state_dict(), tmp_path / "ours.safetensors")
    teach.take(other, tmp_path / "ours.safetensors", "image")
    assert all(value.equal(other.state_dict()[name]) for name, value in one.state_dict().items())


def test_the_weights_of_another_model_are_refused(tmp_path):
    save_file(models.get_model("resnet18").state_dict(), tmp_path / "theirs.safetensors")
    with pytest.raises(InputError, match=r"features.image.pretrained: .*found none, exp"):
        teach.take(build("mobilenet_v3_small", 32), tmp_path / "theirs.safetensors", "image")


UNFIT = [("inception_v3", 32), ("maxvit_t", 64), ("vit_b_32", 48)]


@pytest.mark.parametrize(("name", "size"), UNFIT)
def test_images_that_a_model_cannot_take_are_refused(name, size):
    with pytest.raises(InputError, match=rf"(?s){name} cannot take images .*size {size}: .* 224"):
        build(name, size)


def test_the_names_are_those_of_the_classification_models():
    assert len(backbones()) >= 80 and {*FAMILIES, *OTHERS, "maxvit_t"} <= set(backbones())
    assert "raft_small" not in backbones()
