"""Builds the model that joint training starts from."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.common.errors import InputError
from components.common.tensor_files import readable_tensors
from components.data.assets import load_tensors
from components.huggingface.encoder_file import Heads, load_description, load_encoder
from components.model.config import model_config
from components.model.multimodal import MultimodalModel
from components.tasks.labels import Vocabulary
from components.train.settings import TrainStageSettings


def build_model(
    modalities: Sequence[str],
    settings: TrainStageSettings,
    vocabulary: Mapping[str, Vocabulary],
    encoders: Path,
    projections: Path,
) -> MultimodalModel:
    """Return the model with the weights of earlier stages; frozen encoders do not learn.

    Args:
        modalities: of the training samples.
        vocabulary: of each task, from ingest.
        encoders: folder with `<modality>.safetensors`.
        projections: safetensors.
    """
    files = {m: encoders / f"{m}.safetensors" for m in modalities}
    descriptions, loaded = {}, {}
    for m, file in files.items():
        with readable_tensors(file):
            descriptions[m], loaded[m] = load_description(file), load_encoder(file)
    aligned = load_tensors(projections)
    config = model_config(
        modalities=modalities,
        inputs=settings.preprocess,
        encoders=settings.features,
        embed_dim=next(len(w) for n, w in aligned.items() if n.endswith("pooled.1.weight")),
        model=settings.model,
        tasks=settings.tasks,
        vocabulary=vocabulary,
        descriptions={m: found for m, found in descriptions.items() if found},
        experts={m: _known(heads) for m, (_, heads) in loaded.items() if heads},
    )
    model = MultimodalModel(config)
    for m, (weights, heads) in loaded.items():
        model.encoders[m].load_state_dict(weights)
        model.encoders[m].requires_grad_(not settings.train.is_frozen(m))
        model.load_expert(m, heads)
    own = model.projections.state_dict()
    model.projections.load_state_dict(own | {n: w for n, w in aligned.items() if n in own})
    return model


def _known(heads: Heads) -> dict[str, tuple[str, ...]]:
    """Return the tasks of heads, by the part of features that they read."""
    parts = dict.fromkeys(part for part, _ in heads)
    return {part: tuple(task for p, task in heads if p == part) for part in parts}


def compile_model(model: MultimodalModel) -> None:
    """Let torch.compile compile the model at its first step; `InputError` without a compiler."""
    if not any(map(shutil.which, [os.environ.get("CXX", ""), "g++", "clang++"])):
        raise InputError(
            "train.compile: true takes a C++ compiler; neither $CXX nor g++ nor clang++ was found. "
            "Install one, or set train.compile to false"
        )
    model.compile(dynamic=True)  # batches differ in their numbers of samples and assets
