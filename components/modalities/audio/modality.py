"""The record of sound, and its settings."""

from typing import Annotated

from pydantic import Field, model_validator

from components.huggingface.locate import EncoderNames
from components.modalities.modality import Modality
from components.modalities.settings import InputSettings, TransformerEncoderSettings


class AudioSettings(InputSettings):
    """How sound becomes a log-mel spectrogram, named as in torchaudio."""

    sample_rate: Annotated[int, Field(ge=8_000, le=192_000)]  # Hz; other rates are resampled to it
    n_mels: Annotated[int, Field(ge=8, le=256)]
    n_fft: Annotated[int, Field(ge=64, le=16_384)]  # samples per analysis window
    hop_length: Annotated[int, Field(ge=16, le=16_384)]  # samples between windows
    max_seconds: Annotated[float, Field(gt=0, le=600)]  # longer sound is cut

    @model_validator(mode="after")
    def _hop_within_window(self):
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length ({self.hop_length}) must not exceed n_fft ({self.n_fft})")
        return self

    @property
    def frames(self) -> int:
        """Frames of the longest sound."""
        return int(self.max_seconds * self.sample_rate) // self.hop_length + 1


MODALITY = Modality(
    name="audio",
    inputs=AudioSettings,
    encoder=TransformerEncoderSettings,
    encoder_names=EncoderNames(modality="audio", built_in=("convolutional", "patches")),
    measures={"seconds": "sound [s]", "rate": "sampling rate [Hz]"},
    mlflow_type="binary",
    is_leak=True,
)
