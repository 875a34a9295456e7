"""Models on disk: safetensors, the configuration, and the state of each processor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from components.common.errors import InputError
from components.common.files import read_json, replacing, write_json
from components.model.config import ModelConfig
from components.model.ensemble import Ensemble
from components.model.multimodal import MultimodalModel

WEIGHTS, CONFIG, PROCESSORS = "model.safetensors", "config.json", "processors"

ProcessorStates = Mapping[str, Mapping[str, Any]]  # by modality


def save_model(folder: Path, model: MultimodalModel, processors: ProcessorStates) -> None:
    """Write a model; the weights come last, so a folder that has them is complete."""
    alone = {"members"} if model.config.members == 1 else set()
    write_json(folder / CONFIG, model.config.model_dump(mode="json", exclude=alone))
    for m in model.config.modalities:
        write_json(folder / PROCESSORS / f"{m}.json", processors[m])
    with replacing(folder / WEIGHTS) as temporary:
        save_file(model.state_dict(), temporary)


def load_model(folder: Path) -> MultimodalModel:
    """Rebuild a model in evaluation mode.

    Raise `InputError` if the folder holds no model, or one of another version of this project.
    """
    content = read_json(folder / CONFIG)
    try:
        config = ModelConfig.model_validate(content, strict=False)
        model = Ensemble(config) if config.members > 1 else MultimodalModel(config)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (
        InputError,
        ValidationError,
        SafetensorError,
        RuntimeError,
        OSError,
        ImportError,
        LookupError,
        TypeError,
    ) as error:
        raise InputError(
            f"{folder} does not hold a model of this version: {error}. Train it: dvc repro"
        ) from error
    return model.eval()


def load_processor_states(folder: Path, model: MultimodalModel) -> ProcessorStates:
    """Return the states of the processors of a model; raise `InputError` if one is missing."""
    return {m: read_json(folder / PROCESSORS / f"{m}.json") for m in model.config.modalities}
