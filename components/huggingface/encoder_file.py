"""Files of encoders: weights, and heads.

The header holds what rebuilds a published model, and what the heads learnt.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from components.common.files import replacing
from components.huggingface.description import Description

KEY = "description"
TASKS = "tasks"
HEADS = "heads."  # begins the names of their tensors

Weights = dict[str, Tensor]
Heads = dict[tuple[str, str], Weights]  # part of the features that a head reads, task → weights


def save_encoder(
    path: Path,
    encoder: nn.Module,
    description: Description | None,
    heads: Heads | None = None,
    tasks: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights of an encoder and of heads over its features.

    Its description goes with them if it is a published model, and of the heads the `kind` and
    `vocabulary` of each of their tasks.
    """
    header = {KEY: description.model_dump_json()} if description else {}
    header |= {TASKS: json.dumps(tasks)} if tasks else {}
    tensors = {name: value.contiguous() for name, value in encoder.state_dict().items()}
    for (part, task), weights in (heads or {}).items():
        tensors |= {f"{HEADS}{part}.{task}.{name}": value for name, value in weights.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, header or None)


def load_encoder(path: Path) -> tuple[Weights, Heads]:
    """Return the weights of an encoder, and those of heads over its features."""
    weights: Weights = {}
    heads: Heads = {}
    for key, value in sorted(load_file(path).items()):
        if key.startswith(HEADS):
            part, _, rest = key.removeprefix(HEADS).partition(".")
            task, _, name = rest.rpartition(".")
            heads.setdefault((part, task), {})[name] = value
        else:
            weights[key] = value
    return weights, heads


def load_description(path: Path) -> Description | None:
    """Return the description in an encoder's file; None if the encoder is built here."""
    header = _header(path)
    return Description.model_validate_json(header[KEY]) if KEY in header else None


def load_tasks(path: Path) -> dict[str, Any]:
    """Return the `kind` and `vocabulary` of each task that the heads in a file learnt."""
    return json.loads(_header(path).get(TASKS, "{}"))


def _header(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata() or {}
