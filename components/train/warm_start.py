"""Training that starts from a model that was trained before, in place of fresh weights."""

import logging
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.common.files import read_json
from components.modalities.registry import MODALITIES, Modality
from components.model.folder import TOKENIZER, load_model
from components.model.multimodal import ModelConfig, MultimodalModel
from components.stage.section import Section
from components.training.settings import OptimiserSettings

log = logging.getLogger(__name__)

# Settings that say nothing about what a weight means.
LEARNING = {"dropout", "label_smoothing", "mirror", "pretrained", "tokenizer"}
LEARNING |= OptimiserSettings.model_fields.keys()

KEEP = (
    "Run python -m components.train.export_pretrained --model FOLDER --name NAME and set what it "
    "prints, or set null to start anew"
)


def start_from(
    folder: Path, model: MultimodalModel, tokenizer: Path, frozen: Set[Modality]
) -> None:
    """Give a model the weights of another one, as far as they mean the same.

    Args:
        folder: the other model, as the stage leaves one.
        model: with the encoders and projections of the stages before; changed in place.
        tokenizer: the file of that of its texts.
        frozen: the modalities whose encoders stay as they are; those of the others are taken.

    Raises:
        InputError: there is no model of this version, it is built differently, or it has learnt
            from other features than this one will.
    """
    other = _load(folder)
    known = [m for m in MODALITIES if m in other.config.learnt]
    _check_form(folder, model.config, other.config, known)
    strange = [f"encoder of {m}" for m in known if _strange(m, model, other, m in frozen)]
    if "text" in known and read_json(tokenizer) != read_json(folder / TOKENIZER):
        strange.append("tokenizer")
    if strange:
        raise InputError(
            f"train.start: {folder} has learnt with another {', another '.join(strange)} than "
            f"there is now, and understands nothing without its own. {KEEP}"
        )
    parts = ("encoders", "projections")
    fresh = tuple(f"{part}.{m}." for part in parts for m in MODALITIES if m not in known)
    heads, anew = _heads(model, other)
    weights = {
        name: value
        for name, value in other.state_dict().items()
        if not name.startswith(("heads.", *fresh))
    } | heads
    own = model.state_dict()
    model.load_state_dict(own | weights)
    log.info(
        "train: starts from %s: %d of %d tensors are taken; anew: %s",
        *(folder, len(weights), len(own), ", ".join(anew) or "nothing"),
    )


def _load(folder: Path) -> MultimodalModel:
    if not folder.is_dir():
        raise InputError(f"train.start: {folder} does not exist. {KEEP}")
    try:
        return load_model(folder)[0]
    except InputError as error:
        raise InputError(f"train.start: {error}, or set null to start anew") from error


def _strange(
    modality: Modality, model: MultimodalModel, other: MultimodalModel, frozen: bool
) -> bool:
    """Whether features of a modality are not those that the other model has learnt from."""
    one, two = (each.config.descriptions.get(modality) for each in (model, other))
    if one != two:
        return True
    here, there = (each.encoders[modality].state_dict() for each in (model, other))
    return frozen and not all(here[name].equal(there[name]) for name in here)


def _heads(model: MultimodalModel, other: MultimodalModel) -> tuple[dict[str, Any], list[str]]:
    """The tensors of heads that are taken, and which tasks and outputs start anew."""
    tensors, anew = {}, []
    for task, kind in model.kinds.items():
        known = other.kinds.get(task)
        if type(known) is not type(kind):
            anew.append(f"task {task}")
            continue
        taught, fresh = other.heads[task].state_dict(), model.heads[task].state_dict()
        inherited = kind.inherit(fresh, known, taught)
        tensors |= {f"heads.{task}.{name}": value for name, value in inherited.items()}
        new = len(set(kind.names) - set(known.names))
        anew += [f"{new} of {len(kind.names)} outputs of {task}"] if new else []
    return tensors, anew


def _check_form(
    folder: Path, config: ModelConfig, other: ModelConfig, known: Sequence[Modality]
) -> None:
    """See that both are built alike, and read alike what the other one knows."""
    wanted, found = _form(config, known), _form(other, known)
    if odd := [key for key in wanted if wanted[key] != found[key]]:
        listed = "; ".join(f"{key}: found {found[key]!r}, expected {wanted[key]!r}" for key in odd)
        raise InputError(
            f"train.start: {folder} is built differently from what params.yaml says: {listed}. Set "
            "these keys to what was found, or train.start to null"
        )


def _form(config: ModelConfig, modalities: Sequence[Modality]) -> dict[str, Any]:
    """What decides the meaning of a model's weights, by its key in params.yaml."""
    sections: dict[str, Section] = {"model": config.model}
    for m in modalities:
        sections[f"preprocess.{m}"] = getattr(config.preprocess, m)
        sections[f"features.{m}"] = getattr(config.features, m)
    form = {"align.width": config.aligned_width}
    for key, section in sections.items():
        form |= {f"{key}.{k}": v for k, v in section.model_dump().items() if k not in LEARNING}
    return form
