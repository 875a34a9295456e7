"""Stage `preprocess_audio`: sound becomes log-mel spectrograms [N, mels, frames] or waveforms."""

import argparse

import torch

from components.config.command import Stage, View
from components.huggingface.description import describe
from components.huggingface.locate import is_built_here
from components.modalities.audio.spectrogram import AudioProcessor
from components.modalities.audio.waveform import WaveformProcessor
from components.preprocess.shards import preprocess

STAGE = Stage(
    description="Decode sound and compute log-mel spectrograms, unless the encoder does.",
    inputs={
        "media": "folder, the media shard set of the ingest stage",
        "pretrained": "folder, where the setting may name an encoder, which says what it reads",
    },
    outputs={"tensors": "folder, the tensor shard set"},
    params=("workers", "preprocess.audio", "features.audio.encoder"),
)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    torch.set_num_threads(1)  # the pool's processes are the parallelism
    options, encoder = settings.preprocess_audio, settings.features_audio_encoder
    if is_built_here(encoder, arguments.pretrained, "audio"):
        processor, recipe = AudioProcessor(options), [options.model_dump()]
    else:
        rate = describe(encoder, arguments.pretrained, "audio").inputs["sampling_rate"]
        processor = WaveformProcessor(options, rate)
        recipe = [rate, options.max_seconds]
    preprocess(arguments.media, arguments.tensors, processor, recipe, settings.workers)


if __name__ == "__main__":
    STAGE.run(work)
