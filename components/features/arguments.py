"""The command line of the stage `features_<modality>`."""

from dataclasses import dataclass
from pathlib import Path

from components.stage.arguments import Arguments, input_path, option, output_path, state_path


@dataclass(frozen=True, kw_only=True)
class FeaturesArguments(Arguments):
    """Options, and files that are read and written."""

    modality: str = option("of the encoder")
    tensors: Path = input_path("folder, the tensor shard set of the modality")
    samples: Path = input_path("Parquet, the samples")
    vocabulary: Path = input_path("JSON, what ingest learnt of each task's labels")
    pretrained: Path = input_path("folder, where settings may name encoders")
    texts: Path | None = input_path("folder, the media shard set of what assets say", optional=True)
    features: Path = output_path("folder, the feature shard set")
    encoder: Path = output_path("safetensors, the weights of the encoder")
    history: Path = output_path("CSV, metrics by epoch")
    checkpoint: Path = state_path("safetensors, where an interrupted run resumes")
