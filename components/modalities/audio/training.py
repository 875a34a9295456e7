"""Training of audio encoders: SpecAugment, shifts in time and pitch, speed, noise, blends."""

from typing import Any

import torch
from torch import Tensor
from torchaudio.transforms import FrequencyMasking, TimeMasking

from components.modalities.audio.modality import (
    MODALITY,
    AudioAugmentationSettings,
    AudioEncoderSettings,
    AudioSettings,
)
from components.modalities.encoding import Batch, Mixup, Pretext


def pretext(inputs: AudioSettings, options: AudioEncoderSettings) -> Pretext:
    """See `EncoderTrainingPart`; the same changes make views."""
    if options.encoder not in MODALITY.encoder_names.built_in:
        return Pretext()  # it has inputs of its own
    wanted = options.augmentation
    augment = SpectrogramAugmentation(inputs, wanted)
    mixup = Mixup(wanted.mixup, blend) if wanted.mixup else None
    return Pretext(augment=augment, mixup=mixup, view=augment)


class SpectrogramAugmentation:
    """SpecAugment (Park et al. 2019), shifts in time and pitch, changes of speed, and noise."""

    def __init__(self, inputs: AudioSettings, options: AudioAugmentationSettings):
        bands, frames = inputs.n_mels, inputs.frames
        masks: Any = (
            FrequencyMasking(int(bands * options.frequency_mask), iid_masks=True),
            TimeMasking(int(frames * options.time_mask), iid_masks=True),
        )
        self._masks = torch.nn.Sequential(*masks * options.masks)
        self._max_delay, self._max_pitch = int(frames * options.delay), int(bands * options.pitch)
        self._speed, self._noise = options.speed, options.noise

    def __call__(self, batch: Batch) -> Batch:
        """Change each clip in its own way: `mels` [B, M, T] → the same."""
        mels, lengths = batch["mels"], batch["lengths"]
        if self._speed:
            mels, lengths = self._at_other_speed(mels, lengths)
        mels, lengths = self._shifted(mels, lengths)
        if self._noise:
            mels = self._with_noise(mels, lengths)
        return {"mels": self._masks(mels[:, None]).squeeze(1), "lengths": lengths}

    def _shifted(self, mels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        size, bands, frames = mels.shape
        delay = torch.randint(0, self._max_delay + 1, (size,))
        pitch = torch.randint(-self._max_pitch, self._max_pitch + 1, (size,))
        time = (torch.arange(frames) - delay[:, None]).clamp(min=0)  # [B, T]
        band = (torch.arange(bands) - pitch[:, None]).clamp(0, bands - 1)  # [B, M]
        shifted = mels.gather(2, time[:, None, :].expand_as(mels))
        shifted = shifted.gather(1, band[:, :, None].expand_as(mels))
        return shifted, (lengths + delay).clamp(max=frames)

    def _at_other_speed(self, mels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Stretch or compress each clip in time, by linear interpolation between its frames."""
        size, _, frames = mels.shape
        speed = torch.empty(size).uniform_(1 - self._speed, 1 + self._speed)
        place = torch.arange(frames) * speed[:, None]  # [B, T]
        before = place.long().clamp(max=frames - 1)
        after = (before + 1).clamp(max=frames - 1)
        first, second = (
            mels.gather(2, index[:, None, :].expand_as(mels)) for index in (before, after)
        )
        stretched = torch.lerp(first, second, (place - before).clamp(0, 1)[:, None, :])
        lengths = (lengths / speed).ceil().long().clamp(1, frames)
        return stretched * _inside(lengths, frames), lengths

    def _with_noise(self, mels: Tensor, lengths: Tensor) -> Tensor:
        size, _, frames = mels.shape
        deviation = torch.empty(size, 1, 1).uniform_(0, self._noise)
        return mels + deviation * torch.randn(mels.shape) * _inside(lengths, frames)


def _inside(lengths: Tensor, frames: int) -> Tensor:
    """Return 1 within the clips and 0 after their end, [B, 1, T]."""
    return (torch.arange(frames) < lengths[:, None])[:, None].float()


def blend(batch: Batch, others: Batch, share: float) -> Batch:
    """Blend spectrograms with others, of which `1 - share` is heard."""
    mels = torch.lerp(others["mels"], batch["mels"], share)
    return {"mels": mels, "lengths": torch.maximum(batch["lengths"], others["lengths"])}
