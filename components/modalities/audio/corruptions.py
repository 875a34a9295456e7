"""Corruptions of sounds: the room, the microphone, the line.

A sound keeps its rate; its channels become one, as for the model. Samples are written with 16 bits,
so that what is too loud is cut off and what is too quiet drowns in rounding, as in a recorder.
"""

import io
import math
from collections.abc import Callable
from functools import wraps

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.nn.functional import pad
from torchaudio import functional

from components.modalities.audio.decoding import decode
from components.modalities.audio.processing import resampler
from components.modalities.corruption import Alter, Corruption

PACKET = 0.02  # seconds of sound that a network sends at a time
WINDOW, HOP = 1024, 256  # samples, of the spectra in which a pitch is moved
QUIETEST = 1e-5  # a peak of 0.3 steps of 16 bits


def on_wave(alter: Callable[..., Tensor]) -> Alter:
    """Files to files, from a function of samples, float32 [S], and their rate in Hz."""

    @wraps(alter)
    def on_file(content: bytes, level, rng: np.random.Generator) -> bytes:
        samples, rate = decode(content)
        changed = alter(torch.from_numpy(samples), rate, level, rng)
        file = io.BytesIO()
        soundfile.write(file, changed.numpy(), rate, "PCM_16", format="WAV")
        return file.getvalue()

    return on_file


def _normal(rng: np.random.Generator, count: int) -> Tensor:
    return torch.from_numpy(rng.standard_normal(count, np.float32))


def _round(count: int) -> int:
    """The next power of two, whose Fourier transform is fast."""
    return 1 << (count - 1).bit_length()


def _added(wave: Tensor, noise: Tensor, ratio: float) -> Tensor:
    return functional.add_noise(wave, noise, torch.tensor(float(ratio)))


@on_wave
def white_noise(wave: Tensor, rate: int, ratio: float, rng) -> Tensor:
    """Noise with as much power at every frequency, at a signal-to-noise ratio in dB."""
    return _added(wave, _normal(rng, len(wave)), ratio)


@on_wave
def pink_noise(wave: Tensor, rate: int, ratio: float, rng) -> Tensor:
    """Noise whose power falls with the frequency, as a street's, at a ratio in dB."""
    count = _round(len(wave))
    spectrum = torch.fft.rfft(_normal(rng, count))
    falling = torch.arange(len(spectrum)).clamp(min=1).rsqrt()
    return _added(wave, torch.fft.irfft(spectrum * falling, count)[: len(wave)], ratio)


@on_wave
def reverberation(wave: Tensor, rate: int, room: tuple[float, float], rng) -> Tensor:
    """A room: its echo is noise that decays (Polack 1988).

    `room`: seconds until the echo has lost 60 dB, and how much stronger the direct sound is, dB.
    """
    seconds, ratio = room
    count = math.ceil(seconds * rate)
    decay = 10 ** (-3 * torch.arange(count) / count)  # 60 dB: a thousandth of the amplitude
    echo = _normal(rng, count) * decay
    echo *= 10 ** (-ratio / 20) / echo.norm()
    echo = pad(echo, (0, _round(len(wave) + count) - len(wave) - count + 1))
    return wave + functional.fftconvolve(wave, echo)[: len(wave)]


@on_wave
def speed(wave: Tensor, rate: int, ratio: tuple[int, int], rng) -> Tensor:
    """Played faster and thereby higher, by a fraction; below 1 more slowly and lower."""
    return resampler(*ratio)(wave)


@on_wave
def pitch(wave: Tensor, rate: int, ratio: tuple[int, int], rng) -> Tensor:
    """Higher by a fraction and no shorter: stretched by a phase vocoder, then played faster."""
    factor, window = ratio[0] / ratio[1], torch.hann_window(WINDOW)
    options = {"n_fft": WINDOW, "hop_length": HOP, "window": window}
    spectrum = torch.stft(wave, **options, pad_mode="constant", return_complex=True)
    advance = torch.linspace(0, math.pi * HOP, WINDOW // 2 + 1)[:, None]
    stretched = functional.phase_vocoder(spectrum, 1 / factor, advance)
    longer = torch.istft(stretched, **options, length=round(len(wave) * factor))
    return resampler(*ratio)(longer)[: len(wave)]


@on_wave
def telephone(wave: Tensor, rate: int, band: tuple[int, int], rng) -> Tensor:
    """Only a band of frequencies in Hz is left, by filters of second order."""
    low, high = band
    wave = functional.highpass_biquad(wave, rate, low)
    return functional.lowpass_biquad(wave, rate, high) if high < rate / 2 else wave


@on_wave
def clipping(wave: Tensor, rate: int, gain: float, rng) -> Tensor:
    """So many dB too loud: the peak would be there, if it were not cut off."""
    peak = max(float(wave.abs().max()), QUIETEST)
    return functional.gain(wave / peak, gain).clamp(-1, 1)


@on_wave
def quiet(wave: Tensor, rate: int, loss: float, rng) -> Tensor:
    """So many dB more quiet."""
    return functional.gain(wave, -loss)


@on_wave
def packet_loss(wave: Tensor, rate: int, share: float, rng) -> Tensor:
    """A share of the packets is silent."""
    size = round(PACKET * rate)
    arrived = rng.random(math.ceil(len(wave) / size)) >= share
    return wave * torch.from_numpy(arrived).repeat_interleave(size)[: len(wave)]


CORRUPTIONS = {
    "white_noise": Corruption("audio", white_noise, (30, 20, 10, 5, 0), is_quick=True),
    "pink_noise": Corruption("audio", pink_noise, (30, 20, 10, 5, 0)),
    "reverberation": Corruption(
        "audio", reverberation, ((0.2, 12), (0.4, 8), (0.6, 4), (1.0, 0), (1.5, -4)), is_quick=True
    ),
    "fast": Corruption("audio", speed, ((11, 10), (6, 5), (27, 20), (3, 2), (7, 4)), is_quick=True),
    "slow": Corruption("audio", speed, ((10, 11), (5, 6), (20, 27), (2, 3), (4, 7))),
    "pitch": Corruption("audio", pitch, ((18, 17), (9, 8), (6, 5), (4, 3), (3, 2))),
    "telephone": Corruption(
        "audio",
        telephone,
        ((100, 7000), (200, 5000), (300, 3400), (400, 2500), (500, 1800)),
        is_quick=True,
    ),
    "clipping": Corruption("audio", clipping, (6, 12, 18, 24, 30)),
    "quiet": Corruption("audio", quiet, (20, 30, 40, 50, 60)),
    "packet_loss": Corruption("audio", packet_loss, (0.02, 0.05, 0.1, 0.2, 0.3)),
}
