"""The record of sound, and its settings."""

import math
import statistics
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from components.huggingface.locate import EncoderNames
from components.modalities.modality import Facts, Limit, Modality, nearly_longest
from components.modalities.settings import (
    EncoderName,
    InputSettings,
    Mixup,
    PlainSettings,
    TransformerEncoderSettings,
)
from components.stage.settings import DropoutRate, Fraction, Processes, Section
from components.training.settings import BatchSize

TRANSCRIPT = "transcript"  # a loss
SHORT = 2.0  # seconds; such a sound is a word, of which few frames tell little
HOP_OF_SHORT = 0.016  # seconds


class AudioSettings(InputSettings):
    """How sound becomes a log-mel spectrogram, named as in torchaudio."""

    sample_rate: Annotated[int, Field(ge=8_000, le=192_000)] = 16_000
    """In Hz; other rates are resampled to it."""
    n_mels: Annotated[int, Field(ge=8, le=256)] = 64
    """Mel bands."""
    n_fft: Annotated[int, Field(ge=64, le=16_384)] = 1024
    """Samples per analysis window."""
    hop_length: Annotated[int, Field(ge=16, le=16_384)] = 512
    """Samples between windows."""
    max_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """Longer sounds are cut."""

    @model_validator(mode="after")
    def _hop_within_window(self):
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length ({self.hop_length}) must not exceed n_fft ({self.n_fft})")
        return self

    @property
    def frames(self) -> int:
        """Frames of the longest sound."""
        return int(self.max_seconds * self.sample_rate) // self.hop_length + 1


class AudioAugmentationSettings(Section):
    """How training sounds are changed at random, each in its own way."""

    delay: Fraction = 0.08
    """Longest silence before a sound, as a fraction of max_seconds."""
    pitch: Fraction = 0.0625
    """Largest shift along the mel bands, as a fraction of them."""
    speed: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Largest change of speed, as a fraction."""
    noise: Annotated[float, Field(ge=0, le=2)] = 0.0
    """Largest deviation of noise that is added to a spectrogram, whose own deviation is 1."""
    time_mask: Fraction = 0.1
    """Longest part of a sound that is left out, as a fraction of max_seconds (SpecAugment)."""
    frequency_mask: Fraction = 0.125
    """Most mel bands that are left out, as a fraction of them (SpecAugment)."""
    masks: Annotated[int, Field(ge=1, le=8)] = 1
    """Parts of each kind that are left out."""
    mixup: Mixup = 0.0
    """Blend sounds and their labels in pairs, shares drawn from Beta(mixup, mixup); 0: do not."""


class AudioEncoderSettings(PlainSettings, TransformerEncoderSettings):
    """An encoder of sound."""

    LEARNING_KEYS = TransformerEncoderSettings.LEARNING_KEYS | {"transcript"}
    WITH_PLAIN = "convolutional"

    encoder: EncoderName = "convolutional"
    """convolutional: convolutions over time, then a Transformer; patches: a Transformer over
    patches (AST); or a pretrained model of Transformers."""
    layers: Annotated[int, Field(ge=0)] = 2
    """Number of Transformer layers; 0: none, which learns faster where a sound is one word."""
    pooling: Literal["mean", "mean_max"] = "mean"
    """How one vector is made of a sound's tokens: their mean, or a map of mean and maximum."""
    label_smoothing: DropoutRate = 0.1
    """Label smoothing of its training; without it, new accents are misunderstood."""
    batch_size: BatchSize = 64
    """Sounds per step."""
    augmentation: AudioAugmentationSettings = AudioAugmentationSettings()
    """Changes of training spectrograms."""
    processes: Processes | None = None
    """Processes that train together, each on a part of every batch; null: 2 if there is enough to
    train, else 1."""
    transcript: bool = True
    """Whether it learns what is said from the texts beside sounds; false where they are no
    transcripts, such as captions."""


class _Audio(Modality):
    def suggested_inputs(self, facts: Sequence[Facts]) -> dict[str, Any]:
        """The length of nearly all sounds, the rate of most of them, and frames enough for both."""
        longest = nearly_longest(float(fact["seconds"]) for fact in facts)
        seconds = math.ceil(10 * longest) / 10
        rate = min(int(statistics.median_low(int(fact["rate"]) for fact in facts)), 22_050)
        found = {"max_seconds": min(max(0.5, seconds), 30.0), "sample_rate": rate}
        if longest <= SHORT:
            found["hop_length"] = 2 ** int(math.log2(HOP_OF_SHORT * rate))
        return found


MODALITY = _Audio(
    name="audio",
    inputs=AudioSettings,
    encoder=AudioEncoderSettings,
    encoder_names=EncoderNames(
        modality="audio",
        built_in=("convolutional", "patches"),
        importable=("whisper-tiny.en",),
    ),
    measures={"seconds": "sound [s]", "rate": "sampling rate [Hz]"},
    mlflow_type="binary",
    is_leak=True,
    losses=(TRANSCRIPT,),
    copies_within=28.0,
    little_data={"layers": 0, "pooling": "mean_max"},
    items_seen=40_000,
    limit=Limit("max_seconds", "seconds"),
    reasons={
        "max_seconds": "nearly all sounds are no longer; longer ones are cut",
        "hop_length": "sounds are short, of which more frames tell more",
        "sample_rate": "the rate of most sounds; at a higher one the upper mel bands are empty: a "
        "third of them for sound of 8,000 Hz at 22,050 Hz",
    },
)
