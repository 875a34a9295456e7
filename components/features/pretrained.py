"""Gives an encoder pretrained weights, of a published model or of a file."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import SafetensorError
from torch import Tensor

from components.common.errors import InputError, listed
from components.huggingface import models
from components.huggingface.description import published_weights
from components.huggingface.encoder_file import Heads, load_encoder, load_tasks
from components.huggingface.locate import EncoderNames, locate
from components.huggingface.models import EncoderInterface
from components.layers.features import Encoder
from components.tasks.registry import head_of
from components.tasks.task import Task
from components.training.loop import skip

log = logging.getLogger(__name__)


def load_published(
    encoder: Any, name: str, folder: Path, known: EncoderNames, interface: EncoderInterface
) -> pd.DataFrame:
    """Give an encoder the published weights of the model `name`; return an empty history.

    Args:
        folder: of the modality in pretrained/.
        known: names of other encoders.

    Raises:
        InputError: the weights cannot be read.
    """
    place = locate(name, folder, known)
    with models.explained(place, known):
        found, needed = published_weights(place, interface), encoder.model.state_dict()
        # What is not needed is a pooler that is not used, or a classifier.
        encoder.model.load_state_dict({k: v for k, v in found.items() if k in needed})
    return skip(f"features_{known.modality}", f"the encoder is {name}, taken as it is")


def load_weights(encoder: Encoder, path: Path, modality: str) -> pd.DataFrame:
    """Give an encoder the weights of a file, of a run or of torchvision; return an empty history.

    Raises:
        InputError: the file is missing, is not safetensors, or holds other tensors.
    """
    key = f"features.{modality}.pretrained"
    try:
        weights, _ = load_encoder(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{key}: {path} cannot be read: {error}. Copy models/encoders/{modality}.safetensors "
            "of an earlier run there, or set null to train an encoder here"
        ) from error
    if rename := getattr(encoder, "renamed", None):  # torchvision's files are of whole classifiers
        weights = rename(weights)
    needed = encoder.state_dict()
    for name in [*needed, *sorted(weights)]:
        found, expected = _form(weights.get(name)), _form(needed.get(name))
        if found != expected:
            raise InputError(
                f"{key}: {path} does not fit the settings: tensor {name}: found {found}, expected "
                f"{expected}. Set preprocess.{modality} and features.{modality} as they were when "
                "it was trained, or null to train an encoder here"
            )
    encoder.load_state_dict(weights)
    return skip(f"features_{modality}", f"the encoder is {path}, taken as it is")


def load_heads(path: Path, modality: str, tasks: Mapping[str, Task]) -> Heads:
    """Return the heads that were trained with an encoder, for the labels that tasks have now.

    A head that does not know all of them is left out, and the log says so.

    Raises:
        InputError: the file has no heads, though there are tasks.
    """
    _, trained = load_encoder(path)
    known, heads = load_tasks(path), {}
    trained = {task: weights for (part, task), weights in trained.items() if part == "pooled"}
    if tasks and not trained:
        raise InputError(
            f"features.{modality}.keep_heads: true, but {path} has no heads: its encoder was "
            f"trained without. Set it to false, or features.{modality}.pretrained to null"
        )
    for name, task in tasks.items():
        other = _learnt(known, name) if name in trained else None
        new = set(task.output_names) - set(other.output_names if other else ())
        if other is None or type(other) is not type(task) or new:
            log.warning(
                "features_%s: the head of the task %s is left out: that in %s does not know %s",
                *(modality, name, path, listed(sorted(new)) if new else "this kind of label"),
            )
            continue
        fresh = {part: value[: task.outputs] for part, value in trained[name].items()}
        heads["pooled", name] = task.inherit(fresh, other, trained[name])
    return heads


def _learnt(known: Mapping[str, Any], name: str) -> Task | None:
    """Return a task as the head in a file learnt it; None if there is none."""
    found = known.get(name)
    return head_of(found["kind"])(**found["vocabulary"]) if found else None


def _form(tensor: Tensor | None) -> str:
    """Return type and shape of a tensor, in words."""
    return "none" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
