"""Classification models of torchvision as encoders give what their own classifiers read."""

from functools import partial

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models
from torchvision.models import _api
from torchvision.models.convnext import CNBlockConfig
from torchvision.transforms.v2 import functional as vision

from components.common.errors import InputError
from components.features.pretrained import load_weights
from components.features.settings import settings_for
from components.modalities.image.encoders.torchvision import DEVIATION, MEAN, TorchvisionEncoder
from components.modalities.image.modality import ImageSettings, torchvision_classifiers
from tests.support.params import small_settings

FAMILIES = {  # one model of each family → the part of it that reads the pooled features
    "efficientnet_b0": "classifier",
    "googlenet": "fc",
    "inception_v3": "fc",
    "mnasnet0_5": "classifier",
    "mobilenet_v2": "classifier",
    "mobilenet_v3_small": "classifier",
    "regnet_y_400mf": "fc",
    "resnet18": "fc",
    "shufflenet_v2_x0_5": "fc",
}
TINY = {  # torchvision's classes of the other families with small sizes
    "densenet_tiny": (
        partial(models.DenseNet, growth_rate=4, block_config=(2, 2), num_init_features=8),
        "classifier",
    ),
    "swin_tiny": (
        partial(
            models.SwinTransformer,
            patch_size=[4, 4],
            embed_dim=8,
            depths=[1, 1],
            num_heads=[1, 2],
            window_size=[3, 3],
        ),
        "head",
    ),
    "vit_tiny": (
        partial(
            models.VisionTransformer,
            patch_size=32,
            num_layers=2,
            num_heads=2,
            hidden_dim=16,
            mlp_dim=32,
        ),
        "heads",
    ),
}
TINY_CONVNEXT = partial(models.ConvNeXt, [CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)])
CLASSIFIERS = FAMILIES | {name: part for name, (_, part) in TINY.items()}
OTHERS = ("alexnet", "convnext_tinier", "squeezenet1_1")  # classifiers do more than read a mean
UNFIT = [("alexnet", 32), ("maxvit_t", 64), ("vit_b_32", 48)]  # sizes of images in pixels


@pytest.fixture(autouse=True)
def tiny_models(monkeypatch):
    """Let torchvision know the tiny models."""
    builders = {name: build_tiny for name, (build_tiny, _) in TINY.items()}
    for name, build_tiny in (builders | {"convnext_tinier": TINY_CONVNEXT}).items():

        def builder(weights=None, build_tiny=build_tiny, **options):
            return build_tiny(**options)

        monkeypatch.setitem(_api.BUILTIN_MODELS, name, builder)


def build(name: str, size: int) -> TorchvisionEncoder:
    options = small_settings(settings_for("image")).features.image
    torch.manual_seed(0)
    options = options.model_copy(update={"encoder": name})
    return TorchvisionEncoder(ImageSettings(size=size), options).eval()


def pixels(size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (2, 3, size, size), generator=generator, dtype=torch.uint8)


def whole(name: str, size: int) -> torch.nn.Module:
    """Return torchvision's own model with its classifier."""
    options = {"image_size": size} if name.startswith("vit") else {}
    if name in ("googlenet", "inception_v3"):
        options = {"init_weights": False, "aux_logits": False}
    return models.get_model(name, **options).eval()


@pytest.mark.parametrize(
    "name", [*TINY, *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES)]
)
@torch.no_grad()
def test_classifier_reads_pooled_features(tmp_path, name):
    size = 64 if name.startswith("vit") else 96
    model, encoder = whole(name, size), build(name, size)
    save_file(model.state_dict(), tmp_path / "theirs.safetensors")
    load_weights(encoder, tmp_path / "theirs.safetensors", "image")
    given = vision.normalize(pixels(size) / 255, list(MEAN), list(DEVIATION))
    features = encoder(pixels(size))
    logits = getattr(model, CLASSIFIERS[name])(features.pooled)
    torch.testing.assert_close(logits, model(given), atol=1e-4, rtol=1e-4)
    assert features.tokens.shape == (2, features.mask.shape[1], encoder.width)
    assert features.mask.all()


@pytest.mark.parametrize("name", OTHERS)
def test_features_have_token_per_place(name):
    encoder = build(name, 96).train()
    features = encoder(pixels(96))
    assert features.tokens.shape[2] == features.pooled.shape[1] == encoder.width
    torch.testing.assert_close(features.pooled, features.tokens.mean(1))
    features.pooled.sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_file_of_earlier_run_is_loaded(tmp_path):
    one, other = build("mobilenet_v3_small", 32), build("mobilenet_v3_small", 32)
    for parameter in one.parameters():
        torch.nn.init.normal_(parameter)
    save_file(one.state_dict(), tmp_path / "ours.safetensors")
    load_weights(other, tmp_path / "ours.safetensors", "image")
    assert all(value.equal(other.state_dict()[name]) for name, value in one.state_dict().items())


def test_weights_of_another_model_are_refused(tmp_path):
    save_file(models.get_model("resnet18").state_dict(), tmp_path / "theirs.safetensors")
    with pytest.raises(InputError, match=r"features.image.pretrained: .*found none, exp"):
        load_weights(build("mobilenet_v3_small", 32), tmp_path / "theirs.safetensors", "image")


@pytest.mark.parametrize(("name", "size"), UNFIT)
def test_unfit_image_size_is_refused(name, size):
    with pytest.raises(InputError, match=rf"(?s){name} cannot take images .*size {size}: .* 224"):
        build(name, size)


def test_names_are_those_of_classification_models():
    names = torchvision_classifiers()
    large = {"convnext_tiny", "densenet121", "maxvit_t", "swin_t", "vit_b_32"}
    assert len(names) >= 80 and large | FAMILIES.keys() <= set(names)
    assert "raft_small" not in names
