"""Stage `preprocess_audio`: sound becomes log-mel spectrograms [N, mels, frames] or waveforms."""

import argparse
from pathlib import Path

import torch

from components.config.command import Stage, View
from components.model.encoders.huggingface.description import describe
from components.model.encoders.huggingface.places import is_built_here
from components.model.processors import audio, decode_audio
from components.model.processors.audio import AudioProcessor
from components.model.processors.waveform import WaveformProcessor
from components.preprocess.shards import preprocess
from components.store.hashing import file_hash

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
    decoding = file_hash(Path(decode_audio.__file__))
    if is_built_here(encoder, arguments.pretrained, "audio"):
        processor, recipe = AudioProcessor(options), [options.model_dump(), decoding]
    else:
        rate = describe(encoder, arguments.pretrained, "audio").inputs["sampling_rate"]
        resampling = file_hash(Path(audio.__file__))
        processor = WaveformProcessor(options, rate)
        recipe = [rate, options.max_seconds, decoding, resampling]
    preprocess(arguments.media, arguments.tensors, processor, recipe, settings.workers)


if __name__ == "__main__":
    STAGE.run(work)
