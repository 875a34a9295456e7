"""Augmentation of images, and the views of SimCLR."""

import pytest
import torch
from torch.nn import functional as F

from components.features.settings import settings_for
from components.modalities.image.modality import ImageAugmentationSettings
from components.modalities.image.training import GREY, View, augment, blend, pretext
from tests.support.params import small_settings
from tests.support.tiny_model import make_inputs

SIZE = 32
RAMP = torch.linspace(40, 200, SIZE)
ACROSS, DOWN = RAMP.expand(SIZE, SIZE), RAMP[:, None].expand(SIZE, SIZE)
STILL = {"horizontal_flip": False, "shift": 0.0}


def images(*channels: torch.Tensor, count: int = 64) -> dict[str, torch.Tensor]:
    """Return the same image `count` times."""
    return {"pixels": torch.stack(channels).to(torch.uint8).expand(count, 3, SIZE, SIZE)}


def augmented(batch: dict[str, torch.Tensor], **options) -> torch.Tensor:
    torch.manual_seed(0)
    return augment(batch, ImageAugmentationSettings(**options))["pixels"]


@pytest.mark.parametrize("flip", [True, False])
def test_view_is_crop_in_other_light(flip):
    batch = images(ACROSS, DOWN, RAMP.flip(0).expand(SIZE, SIZE))
    view = View(flip, min_area=0.3, light=0.4)
    torch.manual_seed(0)
    seen = view(batch)["pixels"]
    assert seen.shape == batch["pixels"].shape and seen.dtype == torch.uint8
    assert len(seen.flatten(1).unique(dim=0)) == 64  # each image is changed in its own way
    across = seen[:, 0].float().diff(dim=-1).sum((1, 2))
    assert (across < 0).any() == flip and (across > 0).any()  # some are flipped, some are not
    down = seen[:, 1].float().diff(dim=-2).sum((1, 2))
    assert (down >= 0).all()  # none is upside down
    torch.manual_seed(0)
    assert view(batch)["pixels"].equal(seen)


@pytest.mark.parametrize("flip", [True, False])
def test_augmented_image_is_flipped_or_shifted(flip):
    batch = make_inputs(16)["image"]
    changed = augmented(batch, horizontal_flip=flip)
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


def test_crop_shows_less_of_the_image():
    seen = augmented(images(ACROSS, DOWN, ACROSS), **STILL, crop=0.5).float()
    spread = (seen.amax((2, 3)) - seen.amin((2, 3))) / (RAMP[-1] - RAMP[0])  # of either side
    area = spread[:, 0] * spread[:, 1]
    assert area.min() > 0.4 and area.max() < 1.05 and area.std() > 0.05


def test_rotation_turns_both_ways_and_no_further():
    seen = augmented(images(ACROSS, ACROSS, ACROSS), **STILL, rotation=30.0)[:, 0].float()
    middle = seen[:, SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4]
    down, across = middle.diff(dim=1).mean((1, 2)), middle.diff(dim=2).mean((1, 2))
    degrees = torch.atan2(down, across).rad2deg()
    assert degrees.min() < -15 and degrees.max() > 15 and degrees.abs().max() < 32


def test_colour_changes_light_and_nothing_else():
    seen = augmented(images(ACROSS, DOWN, ACROSS), **STILL, colour=0.3).float()
    assert len(seen.flatten(1).unique(dim=0)) == 64
    assert (seen[:, 0].diff(dim=-1) >= 0).all()


def test_erased_part_is_grey():
    white = torch.full((SIZE, SIZE), 255.0)
    seen = augmented(images(white, white, white), **STILL, erasing=0.5)
    area = (seen == GREY).all(1).float().mean((1, 2))
    assert ((seen == GREY) | (seen == 255)).all()
    assert 0.3 < (area > 0).float().mean() < 0.7 and 0.1 < area.max() < 0.4


def test_blend_shows_both_images():
    dark, light = (images(*[torch.full((SIZE, SIZE), level)] * 3) for level in (0.0, 200.0))
    assert (blend(dark, light, 0.75)["pixels"] == 50).all()


def test_pretext_follows_settings():
    changes = {"features.image.augmentation": {"horizontal_flip": False, "mixup": 0.2}}
    settings = small_settings(settings_for("image"), changes)
    made = pretext(settings.preprocess.image, settings.features.image)
    batch = make_inputs(16)["image"]
    torch.manual_seed(0)
    assert made.augment(batch)["pixels"].equal(augmented(batch, horizontal_flip=False))
    assert made.view == View(flip=False, min_area=0.3, light=0.4)
    assert made.mixup.alpha == 0.2 and made.losses is None
