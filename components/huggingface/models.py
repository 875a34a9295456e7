"""The library Transformers as this project uses it: safetensors, no code from elsewhere, no calls.

It is imported when a model is named, not before: that takes seconds.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from components.common.errors import InputError
from components.huggingface.locate import BUILT_HERE
from components.modalities.registry import Modality

READS = {  # what the models of a modality call their input
    "image": ("pixel_values",),
    "text": ("input_ids",),
    "audio": ("input_values", "input_features"),
}
TOWERS = {"image": "vision_model", "text": "text_model", "audio": "audio_model"}  # as in CLIP
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
LOCAL = {"local_files_only": True, "trust_remote_code": False}


def library() -> ModuleType:
    """Transformers, without its reports and progress bars.

    Raises:
        InputError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            "an encoder is a model of Hugging Face Transformers, which cannot be imported: "
            f"{error}. Install it: pip install 'synesthesia[huggingface]'"
        ) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def read(path: Path) -> Any:
    """A JSON file of a model's folder.

    Raises:
        InputError: it is missing or no JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"its {path.name} cannot be read: {error}. Copy the whole folder that save_pretrained "
            "wrote"
        ) from error


@contextmanager
def explained(place: Path, modality: Modality) -> Iterator[None]:
    """Say of what goes wrong inside which model and which setting it is about.

    Raises:
        InputError: something went wrong.
    """
    try:
        yield
    except Exception as error:  # the library raises whatever a damaged file leads to
        raise InputError(
            f"features.{modality}.encoder: {place} cannot be used: {error}. Name another model, or "
            f"{BUILT_HERE[modality][0]} for an encoder that is taught here"
        ) from error


def tower(config: Mapping[str, Any], modality: Modality) -> nn.Module:
    """The part of a model that encodes a modality, with fresh weights.

    Args:
        config: the config.json of the whole model.
        modality: that is to be encoded.

    Raises:
        InputError: the model encodes something else, or is none of the library's.
    """
    kind, known = config.get("model_type"), library().CONFIG_MAPPING
    if kind not in known:
        raise InputError(
            f"its config.json has the model_type {kind!r}, which Transformers "
            f"{library().__version__} does not know; code that a model brings along is not run"
        )
    options = known[kind].from_dict(dict(config))
    return _tower(library().AutoModel.from_config(options, dtype=torch.float32), modality)


def _tower(model: nn.Module, modality: Modality) -> nn.Module:
    """Of a model of several modalities one tower, of one that also decodes its encoder."""
    part = getattr(model, TOWERS[modality], model)
    part = part.get_encoder() if part.config.is_encoder_decoder else part
    if part.main_input_name not in READS[modality]:
        raise InputError(
            f"it is no encoder of {modality}: its {type(part).__name__} reads "
            f"{part.main_input_name}, expected {' or '.join(READS[modality])}"
        )
    if hasattr(part.config, "apply_spec_augment"):
        part.config.apply_spec_augment = False  # it draws from a generator that has no seed here
    return part


def weights(place: Path, modality: Modality) -> dict[str, Tensor]:
    """The weights of the part that encodes a modality, float32, by name; a pooler's may be missing.

    Raises:
        InputError: weights are missing.
    """
    model, report = library().AutoModel.from_pretrained(
        place, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **LOCAL
    )
    part = _tower(model, modality)
    names = {id(parameter): name for name, parameter in part.named_parameters()}
    missing = sorted(
        names[id(parameter)]
        for name, parameter in model.named_parameters()
        if name in report["missing_keys"] and id(parameter) in names
    )
    if lost := [name for name in missing if not is_pooler(name)]:
        raise InputError(f"its weights lack {len(lost)} tensors, the first is {lost[0]}")
    return {name: value for name, value in part.state_dict().items() if name not in missing}


def is_pooler(name: str) -> bool:
    """Whether a tensor is part of what pools tokens: files of other uses lack it."""
    return name.startswith("pooler.")


def has_pooler(place: Path) -> bool:
    """Whether a model's file has weights for what pools its tokens.

    Raises:
        InputError: its weights are no safetensors.
    """
    files = sorted(place.glob("*.safetensors"))
    if not files:
        other = sorted(path.name for path in place.iterdir() if path.suffix in PICKLES)
        raise InputError(
            f"it has no *.safetensors{', only ' + ', '.join(other) if other else ''}; pickles are "
            "not loaded, since they can run any code. Save it again where you trust it: "
            "AutoModel.from_pretrained(…).save_pretrained(…)"
        )
    for file in files:
        with safe_open(file, "pt") as content:
            if any("pooler." in name for name in content.keys()):
                return True
    return False


def tokenizer_of(place: Path) -> Any:
    """The tokenizer of a text model.

    Raises:
        InputError: the model would take padding for text.
    """
    tokenizer = library().AutoTokenizer.from_pretrained(place, **LOCAL)
    if not tokenizer.is_fast:
        raise InputError("its tokenizer has no form as tokenizer.json")
    if "attention_mask" not in tokenizer.model_input_names:
        raise InputError("its tokenizer gives no attention mask: it takes padding for text")
    return tokenizer


def image_processor(inputs: Mapping[str, Any]) -> Any:
    """What turns images into the input of a model, from its preprocessor_config.json."""
    return getattr(library(), inputs["image_processor_type"]).from_dict(dict(inputs))


def feature_extractor(inputs: Mapping[str, Any]) -> Any:
    """The same for sound."""
    return getattr(library(), inputs["feature_extractor_type"]).from_dict(dict(inputs))
