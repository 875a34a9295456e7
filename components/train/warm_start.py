"""Warm start: training that starts from the weights of a trained model."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from components.common.errors import InputError
from components.model.config import ModelConfig
from components.model.folder import ProcessorStates, load_model, load_processor_states
from components.model.multimodal import MultimodalModel
from components.train.settings import TrainSettings

log = logging.getLogger(__name__)

WAY_OUT = (
    "Run python -m components.train.export_pretrained --model FOLDER --name NAME and set what it "
    "prints, or set null to train from fresh weights"
)


def warm_start(
    folder: Path, model: MultimodalModel, processors: ProcessorStates, train: TrainSettings
) -> None:
    """Give a model, in place, the weights of the one in `folder` that have the same meaning.

    The model has the encoders and projections of earlier stages. Raise `InputError` if there is no
    model of this version in the folder, if it is built differently, or if it was trained on other
    features than this one will be.
    """
    other = _load(folder)
    shared = [m for m in model.config.modalities if m in other.config.modalities]
    _check_architecture(folder, model.config, other.config, shared)
    other_states = load_processor_states(folder, other)
    strange = [f"encoder of {m}" for m in shared if _differs(m, model, other, train.is_frozen(m))]
    strange += [f"processor of {m}" for m in shared if processors[m] != other_states[m]]
    if strange:
        raise InputError(
            f"train.warm_start: {folder} was trained with another {', another '.join(strange)} "
            f"than there is now, and understands nothing without it. {WAY_OUT}"
        )
    heads, fresh = _inherited_heads(model, other)
    own = model.state_dict()
    taken = _shared_weights(other, shared, model.config.experts == other.config.experts)
    weights = {n: w for n, w in taken if n in own and own[n].shape == w.shape} | heads
    model.load_state_dict(own | weights)
    log.info(
        "train: starts from %s: %d of %d tensors are taken; fresh: %s",
        *(folder, len(weights), len(own), ", ".join(fresh) or "nothing"),
    )


def _load(folder: Path) -> MultimodalModel:
    if not folder.is_dir():
        raise InputError(f"train.warm_start: {folder} does not exist. {WAY_OUT}")
    try:
        model = load_model(folder)
    except InputError as error:
        raise InputError(f"train.warm_start: {error}, or set null") from error
    if model.config.members > 1:
        raise InputError(f"train.warm_start: {folder} is an ensemble of several models. {WAY_OUT}")
    return model


def _differs(modality: str, model: MultimodalModel, other: MultimodalModel, frozen: bool) -> bool:
    """Return whether features of a modality are not those that the other model was trained on."""
    one, two = (each.config.descriptions.get(modality) for each in (model, other))
    if one != two:
        return True
    here, there = (each.encoders[modality].state_dict() for each in (model, other))
    return frozen and not all(here[name].equal(there[name]) for name in here)


def _shared_weights(
    other: MultimodalModel, shared: Sequence[str], same_experts: bool
) -> list[tuple[str, Tensor]]:
    """Return the weights of a model, without heads and without modalities that are not shared.

    Heads of encoders are left out too: the model has those of its own encoders. How much the rest
    counts beside them is taken if they are of the same tasks.
    """
    unknown = [m for m in other.config.modalities if m not in shared]
    skipped = (
        "heads.",
        "experts.heads." if same_experts else "experts.",
        *(f"{part}.{m}." for part in ("encoders", "projections") for m in unknown),
    )
    return [(n, w) for n, w in other.state_dict().items() if not n.startswith(skipped)]


def _inherited_heads(
    model: MultimodalModel, other: MultimodalModel
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of heads that are taken, and which tasks and outputs are fresh."""
    tensors: dict[str, Tensor] = {}
    fresh: list[str] = []
    for name, task in model.tasks.items():
        known = other.tasks.get(name)
        if known is None or type(known) is not type(task):
            fresh.append(f"task {name}")
            continue
        trained, own = other.heads[name].state_dict(), model.heads[name].state_dict()
        inherited = task.inherit(own, known, trained)
        tensors |= {f"heads.{name}.{tensor}": value for tensor, value in inherited.items()}
        new = len(set(task.output_names) - set(known.output_names))
        fresh += [f"{new} of {task.outputs} outputs of {name}"] if new else []
    return tensors, fresh


def _check_architecture(
    folder: Path, config: ModelConfig, other: ModelConfig, shared: Sequence[str]
) -> None:
    """See that both models are built alike, and read alike what both know."""
    wanted, found = _architecture(config, shared), _architecture(other, shared)
    if odd := [key for key in wanted if wanted[key] != found.get(key)]:
        listed = "; ".join(
            f"{key}: found {found.get(key)!r}, expected {wanted[key]!r}" for key in odd
        )
        raise InputError(
            f"train.warm_start: {folder} is built differently from what params.yaml says: "
            f"{listed}. Set these keys to what was found, or train.warm_start to null"
        )


def _architecture(config: ModelConfig, modalities: Sequence[str]) -> Mapping[str, Any]:
    """Return what decides the meaning of a model's weights, by its key in params.yaml."""
    found: dict[str, Any] = {"align.embed_dim": config.embed_dim}
    model = config.model.model_dump()
    found |= {f"model.{key}": value for key, value in model.items() if key != "dropout"}
    for m in modalities:
        options = config.encoders[m]
        inputs = config.inputs[m].model_dump(exclude=set(config.inputs[m].SOURCE_KEYS))
        encoder = options.model_dump(exclude=set(options.LEARNING_KEYS))
        found |= {f"preprocess.{m}.{key}": value for key, value in inputs.items()}
        found |= {f"features.{m}.{key}": value for key, value in encoder.items()}
    return found
