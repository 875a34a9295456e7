"""Training of audio encoders: SpecAugment, shifts in time and pitch, speed, noise, blends."""

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
        self._mask_bands = FrequencyMasking(int(bands * options.frequency_mask), iid_masks=True)
        self._mask_frames = TimeMasking(int(frames * options.time_mask), iid_masks=True)
        self._masks = options.masks
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
        return {"mels": mels.masked_fill(self._hidden(mels.shape), 0.0), "lengths": lengths}

    def _hidden(self, shape: torch.Size) -> Tensor:
        """Return what each clip leaves out, bool [B, M, T]; bands and frames are drawn apart."""
        size, count, length = shape
        bands, frames = torch.ones(size, 1, count, 1), torch.ones(size, 1, 1, length)
        for _ in range(self._masks):
            bands, frames = self._mask_bands(bands), self._mask_frames(frames)
        return ((bands == 0) | (frames == 0)).squeeze(1)

    def _shifted(self, mels: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        size, bands, frames = mels.shape
        delay = torch.randint(0, self._max_delay + 1, (size,))
        pitch = torch.randint(-self._max_pitch, self._max_pitch + 1, (size,))
        time = (torch.arange(frames) - delay[:, None]).clamp(min=0)  # [B, T]
        band = (torch.arange(bands) - pitch[:, None]).clamp(0, bands - 1)  # [B, M]
        row = torch.arange(size)[:, None] * bands + band  # [B, M], of all clips' bands
        shifted = mels.flatten(0, 1).index_select(0, row.flatten()).view_as(mels)
        shifted = shifted.gather(2, time[:, None, :].expand_as(mels))
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
