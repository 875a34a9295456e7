"""The library Transformers as this project uses it: safetensors, no remote code, no calls.

It is imported when a model is named, not before: that takes seconds.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from safetensors import safe_open
from torch import Tensor, nn

from components.common.errors import InputError
from components.huggingface.locate import EncoderNames

PICKLES = (".bin", ".pt", ".pth", ".ckpt")
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}

PoolingKind = Literal["own", "first", "mean", "max"]


@dataclass(frozen=True)
class Pooling:
    """How token features become one vector."""

    kind: PoolingKind = "own"  # what the model itself pools; or the first, mean or max token
    normalised: bool = False  # to length 1


@dataclass(frozen=True)
class EncoderInterface:
    """What a modality expects of a model of Transformers.

    `describe_inputs` returns what the modality's processor must know of a model in a folder,
    `pooling` how it pools tokens, by its config.json.
    """

    input_names: tuple[str, ...]  # what such models call their input
    tower: str  # attribute of multimodal models that holds the encoder of the modality
    describe_inputs: Callable[[Path, nn.Module], dict[str, Any]]
    pooling: Callable[[Path, Mapping[str, Any]], Pooling] = lambda place, config: Pooling()


def library() -> ModuleType:
    """Return Transformers, without its reports and progress bars; InputError if not installed."""
    try:
        transformers = import_module("transformers")  # pyright would read 2,700 files of it
    except ImportError as error:
        raise InputError(
            "an encoder is a model of Hugging Face Transformers, which cannot be imported: "
            f"{error}. Install it: pip install -e '.[huggingface]'"
        ) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers


def read_json_file(path: Path) -> Any:
    """Read a JSON file of a model's folder; InputError if it is missing or not JSON."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"its {path.name} cannot be read: {error}. Copy the whole folder that save_pretrained "
            "wrote"
        ) from error


def processor_config(place: Path, auto_class: str) -> dict[str, Any]:
    """Return the preprocessor_config.json of a model, completed by a class of the library."""
    processor = getattr(library(), auto_class).from_pretrained(place, **LOCAL)
    return json.loads(processor.to_json_string())


@contextmanager
def explained(place: Path, known: EncoderNames) -> Iterator[None]:
    """Turn any error of the body into an InputError that names the model and the setting."""
    try:
        yield
    except Exception as error:  # the library raises whatever a damaged file leads to
        raise InputError(
            f"{known.key}: {place} cannot be used: {error}. Name another model, or "
            f"{known.built_in[0]} for an encoder that is trained here"
        ) from error


def tower(config: Mapping[str, Any], interface: EncoderInterface) -> nn.Module:
    """Return the part of a model that encodes a modality, with fresh weights.

    Raises:
        InputError: the model encodes another modality, or the library does not know it.
    """
    kind, known = config.get("model_type"), library().CONFIG_MAPPING
    if kind not in known:
        raise InputError(
            f"its config.json has the model_type {kind!r}, which Transformers "
            f"{library().__version__} does not know; code that a model brings along is not run"
        )
    options = known[kind].from_dict(dict(config))
    return _tower(library().AutoModel.from_config(options, dtype=torch.float32), interface)


def _tower(model: nn.Module, interface: EncoderInterface) -> nn.Module:
    """Return one tower of a multimodal model, or the encoder of one that decodes too."""
    part: Any = getattr(model, interface.tower, model)
    part = part.get_encoder() if part.config.is_encoder_decoder else part
    if part.main_input_name not in interface.input_names:
        raise InputError(
            f"its {type(part).__name__} reads {part.main_input_name}, expected "
            f"{' or '.join(interface.input_names)}: it encodes another modality"
        )
    if hasattr(part.config, "apply_spec_augment"):
        part.config.apply_spec_augment = False  # it draws from a generator without a seed
    return part


def weights(place: Path, interface: EncoderInterface) -> dict[str, Tensor]:
    """Return the weights of the tower of a modality, float32, by name; InputError if some lack.

    Those of a pooler may, as in files for other uses.
    """
    model, report = library().AutoModel.from_pretrained(
        place, use_safetensors=True, dtype=torch.float32, output_loading_info=True, **LOCAL
    )
    part = _tower(model, interface)
    names = {id(parameter): name for name, parameter in part.named_parameters()}
    missing = sorted(
        names[id(parameter)]
        for name, parameter in model.named_parameters()
        if name in report["missing_keys"] and id(parameter) in names
    )
    if lost := [name for name in missing if not name.startswith("pooler.")]:
        raise InputError(f"its weights lack {len(lost)} tensors, the first is {lost[0]}")
    return {name: value for name, value in part.state_dict().items() if name not in missing}


def tensor_files(place: Path, saving: str) -> list[Path]:
    """Return a model's safetensors; InputError if there are none, with the call that saves them."""
    files = sorted(place.glob("*.safetensors"))
    if not files:
        other = sorted(path.name for path in place.iterdir() if path.suffix in PICKLES)
        raise InputError(
            f"it has no *.safetensors{', only ' + ', '.join(other) if other else ''}; pickles are "
            f"not loaded, since they can run any code. Save it again where you trust it: {saving}"
        )
    return files


def has_pooler(place: Path) -> bool:
    """Return whether a model's files have a pooler's weights; InputError if not safetensors."""
    for file in tensor_files(place, "AutoModel.from_pretrained(…).save_pretrained(…)"):
        with safe_open(file, "pt") as content:
            if any("pooler." in name for name in content.keys()):
                return True
    return False
