"""Converts sound files into log-mel spectrograms or waveforms."""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from torchaudio.transforms import MelSpectrogram, Resample

from components.huggingface.locate import is_pretrained_model
from components.modalities.audio.decoding import decode, lasts_longer
from components.modalities.audio.modality import MODALITY, AudioSettings
from components.modalities.modality import Preparation, Processor

MIN_POWER = 1e-5  # of a mel band; its logarithm stands for silence
LOOKAHEAD = 0.1  # seconds decoded beyond the limit, more than a resampling filter looks ahead
MAX_PHASES = 640  # of a resampling filter; enough for every pair of common rates


def prepare(preparation: Preparation) -> dict[str, Any]:
    """See `Processing`: of spectrograms, or of waveforms for a model of Transformers."""
    torch.set_num_threads(1)  # the processes of the pool are the parallelism
    inputs: AudioSettings = preparation.inputs
    name, folder = preparation.encoder, preparation.pretrained
    if not is_pretrained_model(name, folder, MODALITY.encoder_names):
        return {"spectrogram": inputs.model_dump()}
    from components.huggingface.description import describe
    from components.modalities.audio.encoders.huggingface import INTERFACE

    description = describe(name, folder, MODALITY.encoder_names, INTERFACE)
    rate = description.inputs["sampling_rate"]
    return {"waveform": {"sample_rate": rate, "max_seconds": inputs.max_seconds}}


def build(state: Mapping[str, Any]) -> Processor:
    """See `Processing`."""
    if "waveform" in state:
        return WaveformProcessor(**state["waveform"])
    return SpectrogramProcessor(AudioSettings(**state["spectrogram"]))


def export(state: Mapping[str, Any], folder: Path, name: str) -> dict[str, Any]:
    """See `Processing`: settings alone make the processor."""
    return {}


class SpectrogramProcessor:
    """Decodes sound and computes log-mel spectrograms of one length."""

    def __init__(self, settings: AudioSettings):
        self._settings = settings
        self._mel = MelSpectrogram(**settings.model_dump(exclude={"max_seconds"}))

    def __call__(self, contents: Iterable[bytes]) -> dict[str, Tensor]:
        """Return `mels` float32 [N, mels, frames] and `lengths` int64 [N] in frames, at least 1.

        The natural logarithm of the mel power, each clip shifted to mean 0 and scaled to deviation
        1 over its own frames, 0 after its end; channels are averaged.
        """
        spectrograms = [self._spectrogram(content) for content in contents]  # [M, t] each
        mels, lengths = _padded(spectrograms, (self._settings.n_mels, self._settings.frames))
        return {"mels": mels, "lengths": lengths}

    def cut(self, contents: Iterable[bytes]) -> int:
        """See `CuttingProcessor`."""
        seconds = self._settings.frames * self._settings.hop_length / self._settings.sample_rate
        return sum(lasts_longer(content, seconds) for content in contents)

    def _spectrogram(self, content: bytes) -> Tensor:
        longest, hop = self._settings.frames, self._settings.hop_length
        wave = _load(content, self._settings.sample_rate, longest * hop)
        frames = min(longest, len(wave) // hop + 1)
        wave = pad(wave, (0, max(0, self._mel.n_fft // 2 + 1 - len(wave))))  # it is mirrored so far
        logarithm = self._mel(wave)[:, :frames].clamp(min=MIN_POWER).log()  # [M, t]
        return (logarithm - logarithm.mean()) / (logarithm.std() + 1e-5)


class WaveformProcessor:
    """Decodes sound to waveforms of one rate, in Hz, and one length."""

    def __init__(self, sample_rate: int, max_seconds: float):
        self.sample_rate = sample_rate
        self.samples = int(max_seconds * sample_rate)

    def __call__(self, contents: Iterable[bytes]) -> dict[str, Tensor]:
        """Return `samples` float32 [N, S] and `lengths` int64 [N] in samples, at least 1.

        They are from -1 to 1, and 0 after a sound's end; channels are averaged.
        """
        waves = [_load(content, self.sample_rate, self.samples) for content in contents]
        samples, lengths = _padded(waves, (self.samples,))
        return {"samples": samples, "lengths": lengths}

    def cut(self, contents: Iterable[bytes]) -> int:
        """See `CuttingProcessor`."""
        return sum(lasts_longer(content, self.samples / self.sample_rate) for content in contents)


def _load(content: bytes, rate: int, limit: int) -> Tensor:
    """Return at most `limit` samples of a sound, resampled to `rate`: float32 [s]."""
    samples, found = decode(content, limit / rate + LOOKAHEAD)
    return resampler(found, rate)(torch.from_numpy(samples))[:limit]


def _padded(clips: list[Tensor], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return clips with zeros at the end of the last dimension [N, *shape], and their lengths."""
    padded = torch.zeros(len(clips), *shape)
    for row, clip in zip(padded, clips, strict=True):
        row[..., : clip.shape[-1]] = clip
    lengths = [max(1, clip.shape[-1]) for clip in clips]
    return padded, torch.tensor(lengths, dtype=torch.int64)


@lru_cache(maxsize=8)  # a filter can have 40 MB
def resampler(rate: int, target: int) -> Resample:
    """Return a resampler from `rate` to `target` Hz, exact to 0.08 %.

    The exact ratio of odd rates needs a filter of gigabytes: 44,099 to 22,050 Hz has 22,050 phases
    of 44,111 taps. A thousandth is a sixtieth of a semitone.
    """
    ratio = Fraction(rate, target).limit_denominator(MAX_PHASES)
    return Resample(ratio.numerator, ratio.denominator)
