"""Training of audio encoders: SpecAugment with shifts in time and pitch."""

from typing import Any

import torch
from torchaudio.transforms import FrequencyMasking, TimeMasking

from components.modalities.audio.modality import AudioSettings
from components.modalities.encoding import Batch, Pretext
from components.modalities.settings import TransformerEncoderSettings


def pretext(inputs: AudioSettings, options: TransformerEncoderSettings) -> Pretext:
    """See `EncoderTrainingPart`; the same changes make views."""
    augment = SpecAugment(inputs.n_mels, inputs.frames)
    return Pretext(augment=augment, view=augment)


class SpecAugment:
    """SpecAugment (Park et al. 2019), and shifts in time and in pitch."""

    def __init__(self, bands: int, frames: int):
        masks: Any = (
            FrequencyMasking(bands // 8, iid_masks=True),
            TimeMasking(frames // 10, iid_masks=True),
        )
        self._masks = torch.nn.Sequential(*masks)
        self._max_delay, self._max_pitch = frames // 12, bands // 16

    def __call__(self, batch: Batch) -> Batch:
        """Change each clip in its own way: `mels` [B, M, T] → the same."""
        mels, lengths = batch["mels"], batch["lengths"]
        size, bands, frames = mels.shape
        delay = torch.randint(0, self._max_delay + 1, (size,))
        pitch = torch.randint(-self._max_pitch, self._max_pitch + 1, (size,))
        time = (torch.arange(frames) - delay[:, None]).clamp(min=0)  # [B, T]
        band = (torch.arange(bands) - pitch[:, None]).clamp(0, bands - 1)  # [B, M]
        shifted = mels.gather(2, time[:, None, :].expand_as(mels))
        shifted = shifted.gather(1, band[:, :, None].expand_as(mels))
        masked = self._masks(shifted[:, None]).squeeze(1)  # [B, M, T]
        return {"mels": masked, "lengths": (lengths + delay).clamp(max=frames)}
