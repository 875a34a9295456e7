"""Augmentation of images, and the views of SimCLR."""

import pytest
import torch
from torch.nn import functional as F

from components.features.settings import settings_for
from components.modalities.image.training import augment, pretext, view
from tests.support.params import small_settings
from tests.support.tiny_model import make_inputs


@pytest.mark.parametrize("flip", [True, False])
def test_view_is_crop_in_other_light(flip):
    size = 32
    ramp = torch.linspace(40, 200, size)
    pixels = torch.stack(
        [ramp.expand(size, size), ramp[:, None].expand(size, size), ramp.flip(0).expand(size, size)]
    )
    batch = {"pixels": pixels.to(torch.uint8).expand(64, 3, size, size)}
    torch.manual_seed(0)
    seen = view(batch, flip)["pixels"]
    assert seen.shape == batch["pixels"].shape and seen.dtype == torch.uint8
    assert len(seen.flatten(1).unique(dim=0)) == 64  # each image is changed in its own way
    across = seen[:, 0].float().diff(dim=-1).sum((1, 2))
    assert (across < 0).any() == flip and (across > 0).any()  # some are flipped, some are not
    down = seen[:, 1].float().diff(dim=-2).sum((1, 2))
    assert (down >= 0).all()  # none is upside down
    torch.manual_seed(0)
    assert view(batch, flip)["pixels"].equal(seen)


@pytest.mark.parametrize("flip", [True, False])
def test_augmented_image_is_flipped_or_shifted(flip):
    batch = make_inputs(16)["image"]
    torch.manual_seed(0)
    changed = augment(batch, flip)["pixels"]
    reach = changed.shape[-1] // 16
    assert reach

    def shifts(whole: torch.Tensor) -> list[set[tuple[int, int]]]:
        """Return for each image the shifts that make it its augmented self."""
        padded = F.pad(whole.float(), (reach,) * 4, mode="replicate")
        windows = padded.unfold(2, whole.shape[2], 1).unfold(3, whole.shape[3], 1)
        same = (windows == changed[:, :, None, None]).flatten(4).all(-1).all(1)  # [16, shifts…]
        return [{tuple(place) for place in found.nonzero().tolist()} for found in same]

    kept, flipped = shifts(batch["pixels"]), shifts(batch["pixels"].flip(-1))
    assert all(len(a) + len(b) == 1 for a, b in zip(kept, flipped, strict=True))
    assert any(kept) and any(flipped) == flip
    assert len(set().union(*kept, *flipped)) == 1  # the same for the whole batch


@pytest.mark.parametrize("flip", [True, False])
def test_pretext_follows_horizontal_flip(flip):
    changes = {"features.image.horizontal_flip": flip}
    settings = small_settings(settings_for("image"), changes)
    made = pretext(settings.preprocess.image, settings.features.image)
    batch = make_inputs(16)["image"]
    for change, expected in ((made.augment, augment), (made.view, view)):
        torch.manual_seed(0)
        found = change(batch)["pixels"]
        torch.manual_seed(0)
        assert found.equal(expected(batch, flip)["pixels"])
    assert made.losses is None
