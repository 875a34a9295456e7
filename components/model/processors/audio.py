"""Sound files to log-mel spectrograms."""

import io

import numpy as np
import soundfile
import torch
from torch.nn.functional import pad
from torchaudio.functional import resample
from torchaudio.transforms import MelSpectrogram

from components.config.settings import AudioSettings

FLOOR = 1e-5  # of the mel power; its logarithm is what silence looks like


class AudioProcessor:
    """Decodes sound and computes log-mel spectrograms of one length."""

    def __init__(self, settings: AudioSettings):
        self.sample_rate = settings.sample_rate
        self.frames = settings.frames
        self._hop = settings.hop
        self._mel = MelSpectrogram(
            sample_rate=settings.sample_rate,
            n_fft=settings.window,
            hop_length=settings.hop,
            n_mels=settings.mels,
        )

    def __call__(self, contents: list[bytes]) -> dict[str, torch.Tensor]:
        """Decode sound files: channels are averaged, rates resampled, the end beyond the limit cut.

        Returns:
            `mels`: float32 [N, mels, frames], natural logarithm of the mel power, each clip
            shifted to mean 0 and scaled to deviation 1 over its own frames, 0 after its end;
            `lengths`: int64 [N], frames, at least 1.

        Raises:
            RuntimeError: a file is no sound.
            ValueError: a sound has no samples, or some that are not finite.
        """
        spectrograms = [self._spectrogram(content) for content in contents]
        mels = torch.zeros(len(contents), spectrograms[0].shape[0], self.frames)  # [N, M, T]
        lengths = torch.zeros(len(contents), dtype=torch.int64)
        for row, spectrogram in enumerate(spectrograms):
            frames = min(spectrogram.shape[1], self.frames)
            mels[row, :, :frames] = spectrogram[:, :frames]
            lengths[row] = frames
        return {"mels": mels, "lengths": lengths}

    def _spectrogram(self, content: bytes) -> torch.Tensor:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
        if not len(samples) or not np.isfinite(samples).all():
            raise ValueError("the sound is empty, or infinite, or not a number")
        wave = torch.from_numpy(samples).mean(dim=1)  # [S]
        if rate != self.sample_rate:
            wave = resample(wave, rate, self.sample_rate)
        wave = wave[: self.frames * self._hop]
        frames = len(wave) // self._hop + 1
        wave = pad(wave, (0, max(0, self._mel.n_fft // 2 + 1 - len(wave))))  # it is mirrored so far
        logarithm = self._mel(wave)[:, :frames].clamp(min=FLOOR).log()  # [M, t]
        return (logarithm - logarithm.mean()) / (logarithm.std() + 1e-5)
