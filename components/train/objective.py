"""What joint training minimises, and what it measures."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from components.common.errors import InputError
from components.data.batch import Samples
from components.modalities.registry import MODALITIES
from components.model.multimodal import MultimodalModel
from components.train.data import Course, predict
from components.training.run import Share

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


def draw(model: MultimodalModel, samples: Samples, dropout: float) -> Samples:
    """Training samples as a step sees them: modalities dropped, and with them targets.

    A task that one modality decides is not asked of a sample that has lost that modality.
    """
    samples = samples.keep(drop_modalities(samples.presence, dropout))
    targets = {
        name: model.kinds[name].hide(known, ~model.config.answerable(name, samples.presence))
        for name, known in samples.targets.items()
    }
    return Samples(samples.rows, targets)


def share(
    course: Course, index: Tensor, count: int, tasks: Sequence[str] | None = None
) -> list[Share]:
    """Some training samples, drawn and then cut in `count` parts of nearly equal size.

    They keep the targets of the tasks that are trained (all of them, or `tasks`), but for those
    tasks of which not one is known: such a task has no loss in this step. The loss of a task is a
    mean over the samples that know their target: a part weighs as much as its share of them.

    Raises:
        InputError: there are fewer samples than parts.
    """
    samples = draw(course.model, course.samples["train"][index], course.dropout)
    samples = Samples(
        samples.rows,
        {
            name: samples.targets[name]
            for name in (course.tasks if tasks is None else tasks)
            if course.model.kinds[name].known(samples.targets[name]).any()
        },
    )
    if count == 1:
        return [Share(samples)]
    if len(samples) < count:
        raise InputError(
            f"a step has {len(samples)} samples, too few for {count} parts. Lower "
            "train.accumulate or train.processes in params.yaml, or raise train.batch"
        )
    parts = [samples[rows] for rows in torch.arange(len(samples)).tensor_split(count)]
    weights: list[dict[str, Tensor]] = [{} for _ in parts]
    for name in samples.targets:
        kind = course.model.kinds[name]
        amounts = torch.stack([kind.amount(part.targets[name]) for part in parts])
        for part, weight in zip(weights, amounts * count / amounts.sum(), strict=True):
            part[name] = weight
    return [Share(*pair) for pair in zip(parts, weights, strict=True)]


def losses(course: Course, samples: Samples) -> dict[str, Tensor]:
    """The loss by task of samples that `share` gave."""
    return task_losses(course.model, samples, predict(course, samples))


def task_losses(
    model: MultimodalModel, samples: Samples, logits: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The loss of each task that the samples have targets of: the mean over those known."""
    result = {}
    for name, targets in samples.targets.items():
        scores = logits[name].float()  # whatever the precision of the model
        result[name] = model.kinds[name].loss(scores, targets.to(scores.device))
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
            kind, targets = course.model.kinds[task], part.targets[task].to(logits.device)
            known = kind.known(targets)
            if known.any():
                quality = kind.quality(logits[known], targets[known])
                result.setdefault(f"{kind.QUALITY} ({label})", {})[task] = quality
    return result
