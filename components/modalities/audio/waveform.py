"""Sound files to waveforms, for encoders that start from those."""

import torch

from components.modalities.audio.decoding import decode
from components.modalities.audio.spectrogram import AHEAD, resampler
from components.modalities.settings import AudioSettings


class WaveformProcessor:
    """Decodes sound to waveforms of one rate and one length."""

    def __init__(self, settings: AudioSettings, sample_rate: int):
        self.sample_rate = sample_rate
        self.samples = int(settings.max_seconds * sample_rate)

    def __call__(self, contents: list[bytes]) -> dict[str, torch.Tensor]:
        """Decode sound files: channels are averaged, rates resampled, the end beyond the limit cut.

        Returns:
            `samples`: float32 [N, S], from -1 to 1, 0 after a sound's end; `lengths`: int64 [N],
            samples, at least 1.

        Raises:
            BadSound: a file cannot be used; see `decode_audio`.
        """
        samples = torch.zeros(len(contents), self.samples)  # [N, S]
        lengths = torch.ones(len(contents), dtype=torch.int64)
        for row, content in enumerate(contents):
            given, rate = decode(content, self.samples / self.sample_rate + AHEAD)
            wave = resampler(rate, self.sample_rate)(torch.from_numpy(given))[: self.samples]
            samples[row, : len(wave)] = wave
            lengths[row] = max(1, len(wave))
        return {"samples": samples, "lengths": lengths}
