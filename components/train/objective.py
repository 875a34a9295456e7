"""What joint training minimises, and what it measures."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from components.config.section import MODALITIES
from components.config.settings import TaskSettings
from components.model.base.batch import Samples
from components.model.multimodal import MultimodalModel
from components.train.course import Course, predict

SHOWN = {  # what is measured after each epoch: the modalities that are kept
    "all": ("image", "text", "audio"),
    "image+text": ("image", "text"),
    "image+audio": ("image", "audio"),
}


def drop_modalities(presence: Tensor, dropout: float) -> Tensor:
    """bool [B, M]: the modalities kept; one that was there is always left."""
    chance = torch.rand(presence.shape).masked_fill(~presence, -1.0)
    last = F.one_hot(chance.argmax(1), presence.shape[1]).bool()  # [B, M]
    return presence & ((chance >= dropout) | last)


def losses(course: Course, index: Tensor) -> dict[str, Tensor]:
    """The loss by task of some training samples, after modalities were dropped."""
    samples = course.samples["train"][index]
    samples = samples.keep(drop_modalities(samples.presence, course.dropout))
    return task_losses(course.model, course.tasks, samples, predict(course, samples))


def task_losses(
    model: MultimodalModel,
    tasks: Mapping[str, TaskSettings],
    samples: Samples,
    logits: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The loss by task, weighted, over the samples that can know their label.

    A task that one modality decides is not asked of a sample that has lost that modality.
    """
    presence = samples.presence
    result = {}
    for name, task in tasks.items():
        kind, unanswerable = model.kinds[name], ~model.config.answerable(name, presence)
        targets = kind.hide(samples.targets[name], unanswerable)
        result[name] = task.weight * kind.loss(logits[name], targets)
    return result


def measure(course: Course) -> dict[str, dict[str, float]]:
    """How good each task is on the validation split, for each of `SHOWN`."""
    samples = course.samples["validation"]
    result = {}
    learnt = course.model.config.learnt
    for label, kept in SHOWN.items():
        if label != "all" and not set(kept) <= set(learnt):
            continue
        keep = samples.presence & torch.tensor([m in kept for m in MODALITIES])
        asked = keep.any(1)
        part = samples.keep(keep)[asked]
        if not len(part):
            continue
        for task, logits in predict(course, part).items():
            kind, targets = course.model.kinds[task], part.targets[task]
            known = kind.known(targets)
            if known.any():
                quality = kind.quality(logits[known], targets[known])
                result.setdefault(f"{kind.QUALITY} ({label})", {})[task] = quality
    return result
