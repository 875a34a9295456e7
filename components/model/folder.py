"""A model on disk: safetensors, the configuration that rebuilds it, and its tokenizer."""

from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from components.common.errors import InputError
from components.common.files import read_json, replacing, write_json, write_text
from components.model.multimodal import ModelConfig, MultimodalModel

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"


def save_model(folder: Path, model: MultimodalModel, tokenizer: str) -> None:
    """Write a model; the weights come last, so a folder that has them is complete."""
    write_json(folder / CONFIG, model.config.model_dump(mode="json"))
    write_text(folder / TOKENIZER, tokenizer)
    with replacing(folder / WEIGHTS) as temporary:
        save_file(model.state_dict(), temporary)


def load_model(folder: Path) -> tuple[MultimodalModel, Tokenizer]:
    """Rebuild a model in evaluation mode, and its tokenizer.

    Raises:
        InputError: the folder holds no model, or one of another version of this project.
    """
    content = read_json(folder / CONFIG)
    try:
        config = ModelConfig.model_validate(content, strict=False)
        model = MultimodalModel(config)
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (ValidationError, SafetensorError, RuntimeError, OSError) as error:
        raise InputError(
            f"{folder} does not hold a model of this version: {error}. Train it: dvc repro"
        ) from error
    read_json(folder / TOKENIZER)  # has a clear error where the tokenizer's own is a bare Exception
    return model.eval(), Tokenizer.from_file(str(folder / TOKENIZER))
