"""Sound models of Transformers: Whisper's encoder, wav2vec 2.0, AST, CLAP's tower and others."""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from components.common.errors import InputError
from components.huggingface import models
from components.huggingface.description import Description
from components.layers.features import Features, length_mask, masked_mean
from components.modalities.settings import AudioSettings

AST, CLAP = "audio-spectrogram-transformer", "clap_audio_model"
SHORTEST = 0.1  # seconds; a shorter sound gets silence after it, to fill the first windows
FRAME = 0.01  # seconds from one frame of Whisper's and AST's spectrograms to the next


class HuggingFaceAudioEncoder(nn.Module):
    """A model of Transformers over waveforms, from which its own feature extractor starts.

    A model over samples, as wav2vec 2.0, hears each sound alone and without padding, which would
    change what it hears. For one over spectrograms a sound is brought to the length that the
    model was trained with; tokens after the longest sound that the settings allow are left out.
    """

    at_once = 8  # assets that are encoded together: these models are large, and Whisper hears 30 s

    def __init__(self, inputs: AudioSettings, description: Description):
        super().__init__()
        self.model = description.build("audio")
        self.width = self.model.config.hidden_size
        self.extractor = models.feature_extractor(description.inputs)
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
        lengths = lengths.clamp(min=int(SHORTEST * self.rate))
        samples = pad(samples, (0, max(0, int(lengths.max()) - samples.shape[1])))
        if self.over_samples:
            return self._over_samples(samples, lengths)
        return self._over_spectrograms(samples, lengths)

    def _longest(self) -> float:
        """Seconds: of a longer sound the extractor takes a part, with some models at random."""
        if self.model.config.model_type == AST:
            return self.extractor.max_length * FRAME
        samples = getattr(self.extractor, "n_samples", None)
        samples = samples or getattr(self.extractor, "nb_max_samples", None)
        return samples / self.rate if samples else float("inf")

    def _extract(self, samples: Tensor, lengths: Tensor) -> Tensor:
        waves = [wave[:n].cpu().numpy() for wave, n in zip(samples, lengths.tolist(), strict=True)]
        given = self.extractor(waves, sampling_rate=self.rate, return_tensors="pt")
        return given[self.model.main_input_name].to(samples.device)

    def _over_samples(self, samples: Tensor, lengths: Tensor) -> Features:
        count = self.model._get_feat_extract_output_lengths
        size = int(count(torch.tensor(samples.shape[1])))
        tokens = samples.new_zeros(len(samples), size, self.width)  # [N, T, D]
        for length in lengths.unique():
            rows = (lengths == length).nonzero().squeeze(1)
            given = self.model(self._extract(samples[rows], lengths[rows])).last_hidden_state
            given = pad(given, (0, 0, 0, size - given.shape[1])).to(tokens.dtype)
            tokens = tokens.index_copy(0, rows, given)
        mask = length_mask(count(lengths), size)
        return Features(tokens, mask, masked_mean(tokens, mask))

    def _over_spectrograms(self, samples: Tensor, lengths: Tensor) -> Features:
        extracted = self._extract(samples, lengths)
        if self.model.config.model_type == CLAP:  # its extractor calls one sound long, at random
            longer = torch.zeros(len(samples), 1, dtype=torch.bool, device=samples.device)
            given = self.model(extracted, is_longer=longer)
        else:
            given = self.model(extracted)
        tokens, counts = self._in_time(given.last_hidden_state, lengths)
        longest = torch.tensor([int(self.seconds * self.rate)])
        tokens = tokens[:, : int(self._in_time(given.last_hidden_state, longest)[1])]
        mask = length_mask(counts, tokens.shape[1])
        own = given.get("pooler_output")
        return Features(tokens, mask, masked_mean(tokens, mask) if own is None else own)

    def _in_time(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens in the order of time [N, T, D], and how many of them a sound fills [N].

        Whisper has one for two frames. AST has patches, after a class and a distillation token;
        CLAP has places, [N, D, bands, times], all filled: a sound is repeated until it is 10 s.

        Args:
            tokens: the last hidden state.
            lengths: of the sounds, in samples [N].
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
