"""Sound files to log-mel spectrograms."""

from fractions import Fraction
from functools import lru_cache

import torch
from torch.nn.functional import pad
from torchaudio.transforms import MelSpectrogram, Resample

from components.modalities.audio.decoding import decode
from components.modalities.settings import AudioSettings

FLOOR = 1e-5  # of the mel power; its logarithm is what silence looks like
AHEAD = 0.1  # seconds decoded beyond the limit, more than a resampling filter looks ahead
PHASES = 640  # of a resampling filter, at most; enough for every pair of common rates


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
            BadSound: a file cannot be used; see `decode_audio`.
        """
        mels = torch.zeros(len(contents), self._mel.n_mels, self.frames)  # [N, M, T]
        lengths = torch.zeros(len(contents), dtype=torch.int64)
        for row, content in enumerate(contents):
            spectrogram = self._spectrogram(content)  # [M, t]
            lengths[row] = spectrogram.shape[1]
            mels[row, :, : lengths[row]] = spectrogram
        return {"mels": mels, "lengths": lengths}

    def _spectrogram(self, content: bytes) -> torch.Tensor:
        limit = self.frames * self._hop
        samples, rate = decode(content, limit / self.sample_rate + AHEAD)
        wave = resampler(rate, self.sample_rate)(torch.from_numpy(samples))[:limit]  # [S]
        frames = min(self.frames, len(wave) // self._hop + 1)
        wave = pad(wave, (0, max(0, self._mel.n_fft // 2 + 1 - len(wave))))  # it is mirrored so far
        logarithm = self._mel(wave)[:, :frames].clamp(min=FLOOR).log()  # [M, t]
        return (logarithm - logarithm.mean()) / (logarithm.std() + 1e-5)


@lru_cache(maxsize=8)  # a filter is as large as 40 MB
def resampler(rate: int, target: int) -> Resample:
    """Resamples from `rate` to `target` Hz, or from a rate at most 0.08 % beside it.

    The exact ratio of odd rates needs a filter of gigabytes: 44,099 to 22,050 Hz has 22,050 phases
    of 44,111 taps. A thousandth is a sixtieth of a semitone.
    """
    ratio = Fraction(rate, target).limit_denominator(PHASES)
    return Resample(ratio.numerator, ratio.denominator)
