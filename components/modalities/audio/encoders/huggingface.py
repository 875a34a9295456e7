"""Sound models of Transformers: Whisper's encoder, wav2vec 2.0, AST, CLAP's tower and others."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from components.common.errors import InputError
from components.huggingface.description import Description
from components.huggingface.models import EncoderInterface, library, processor_config
from components.layers.features import Encoder, Features, length_mask, masked_mean
from components.modalities.audio.modality import AudioSettings

AST, CLAP = "audio-spectrogram-transformer", "clap_audio_model"
MIN_SECONDS = 0.1  # a shorter sound is padded with silence, to fill the first windows
FRAME = 0.01  # seconds from one frame of Whisper's and AST's spectrograms to the next

INTERFACE = EncoderInterface(
    input_names=("input_values", "input_features"),
    tower="audio_model",
    describe_inputs=lambda place, model: processor_config(place, "AutoFeatureExtractor"),
)


class HuggingFaceAudioEncoder(Encoder):
    """A model of Transformers over waveforms, from which its feature extractor starts.

    A model over samples, as wav2vec 2.0, gets each sound alone and without padding, which would
    change its features. For one over spectrograms a sound is brought to the length of its training;
    tokens after the longest sound that the settings allow are left out.
    """

    max_batch_size = 8  # Whisper hears 30 s

    def __init__(self, inputs: AudioSettings, description: Description):
        super().__init__()
        self.model: Any = description.build(INTERFACE)
        self.width = self.model.config.hidden_size
        extractor = getattr(library(), description.inputs["feature_extractor_type"])
        self.extractor: Any = extractor.from_dict(dict(description.inputs))
        self.rate = self.extractor.sampling_rate
        self.seconds = inputs.max_seconds
        self.over_samples = self.model.main_input_name == "input_values" and hasattr(
            self.model, "_get_feat_extract_output_lengths"
        )
        if self.seconds > (longest := self._longest()):
            raise InputError(
                f"preprocess.audio.max_seconds: found {self.seconds}, but the encoder, a "
                f"{self.model.config.model_type} model, hears {longest:g} seconds. Set that or less"
            )

    def forward(self, samples: Tensor, lengths: Tensor) -> Features:
        """Waveforms at the model's rate [N, S] and lengths in samples [N] → features."""
        lengths = lengths.clamp(min=int(MIN_SECONDS * self.rate))
        samples = pad(samples, (0, max(0, int(lengths.max()) - samples.shape[1])))
        if self.over_samples:
            return self._over_samples(samples, lengths)
        return self._over_spectrograms(samples, lengths)

    def _longest(self) -> float:
        """Return seconds; of a longer sound some extractors take a random part."""
        if self.model.config.model_type == AST:
            return self.extractor.max_length * FRAME
        samples = getattr(self.extractor, "n_samples", None)
        samples = samples or getattr(self.extractor, "nb_max_samples", None)
        return samples / self.rate if samples else float("inf")

    def _extract(self, samples: Tensor, lengths: Tensor) -> Tensor:
        waves = [wave[:n].cpu().numpy() for wave, n in zip(samples, lengths.tolist(), strict=True)]
        extracted = self.extractor(waves, sampling_rate=self.rate, return_tensors="pt")
        return extracted[self.model.main_input_name].to(samples.device)

    def _over_samples(self, samples: Tensor, lengths: Tensor) -> Features:
        count = self.model._get_feat_extract_output_lengths
        size = int(count(torch.tensor(samples.shape[1])))
        tokens = samples.new_zeros(len(samples), size, self.width)  # [N, T, D]
        for length in lengths.unique():
            rows = (lengths == length).nonzero().squeeze(1)
            x = self.model(self._extract(samples[rows], lengths[rows])).last_hidden_state
            x = pad(x, (0, 0, 0, size - x.shape[1])).to(tokens.dtype)
            tokens = tokens.index_copy(0, rows, x)
        mask = length_mask(count(lengths), size)
        return Features(tokens, mask, masked_mean(tokens, mask))

    def _over_spectrograms(self, samples: Tensor, lengths: Tensor) -> Features:
        extracted = self._extract(samples, lengths)
        more = {}
        if self.model.config.model_type == CLAP:  # its extractor would draw one at random
            more["is_longer"] = samples.new_zeros(len(samples), 1, dtype=torch.bool)
        output = self.model(extracted, **more)
        tokens, counts = self._in_time(output.last_hidden_state, lengths)
        longest = torch.tensor([int(self.seconds * self.rate)])
        tokens = tokens[:, : int(self._in_time(output.last_hidden_state, longest)[1])]
        mask = length_mask(counts, tokens.shape[1])
        own = output.get("pooler_output")
        return Features(tokens, mask, masked_mean(tokens, mask) if own is None else own)

    def _in_time(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens in the order of time [N, T, D], and how many of them a sound fills [N].

        Whisper has one token per two frames. AST has patches after a class and a distillation
        token. CLAP has places, [N, D, bands, times], all filled: a sound is repeated up to 10 s.
        `lengths` are in samples [N].
        """
        config = self.model.config
        hop = round(self.rate * FRAME)
        frames = (lengths + hop - 1) // hop
        if config.model_type == "whisper":
            return tokens, (frames + 1) // 2
        if config.model_type == AST:
            bands = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
            patches = tokens[:, 2:].unflatten(1, (bands, -1)).transpose(1, 2)  # [N, t, b, D]
            times = (frames + config.time_stride - 1) // config.time_stride
            return patches.flatten(1, 2), times.clamp(max=patches.shape[1]) * bands
        if tokens.ndim == 4:
            tokens = tokens.permute(0, 3, 2, 1).flatten(1, 2)
        return tokens, torch.full_like(frames, tokens.shape[1])
