"""Gradient modulation between modalities: the one that leads waits for the others."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from components.modalities.registry import MODALITIES, Modality
from components.train.data import Course, predict

LEAST = 1e-6  # of the score that a modality is held against
SCORED = 64  # samples of a batch, at most, that each modality is scored on by itself

Scores = Mapping[str, Mapping[Modality, Tensor]]  # task → modality → mean probability of the truth


@torch.no_grad()
def scores_alone(course: Course, index: Tensor, tasks: Sequence[str]) -> Scores:
    """How well each modality alone answers each task that it can decide.

    The paper reads a modality's score from its part of a linear head over concatenated features.
    Behind a Transformer there is no such part, so the model is asked with all other modalities
    missing, which modality dropout teaches it; some samples of the batch stand for all.

    Args:
        course: with the model that is trained.
        index: int64 [n], the training samples of the step.
        tasks: that the step trains.
    """
    count, model = len(index), course.model
    spread = torch.arange(min(SCORED, count)) * count // min(SCORED, count)
    some = course.samples["train"][index[spread]]
    result: dict[str, dict[Modality, Tensor]] = {task: {} for task in tasks}
    model.eval()
    for place, m in enumerate(MODALITIES):
        only = torch.arange(len(MODALITIES)) == place
        alone = some.keep(only.expand(len(some), -1))[some.presence[:, place]]
        if not len(alone):
            continue
        logits = predict(course, alone)
        for task in tasks:
            kind, targets = model.kinds[task], alone.targets[task].to(course.device)
            known = kind.known(targets)
            if known.any() and model.config.answerable(task, only[None]).item():
                result[task][m] = kind.certainty(logits[task][known], targets[known])
    model.train()
    return result


def discrepancies(scores: Scores, weights: Mapping[str, float]) -> dict[Modality, float]:
    """ρᵘ: how many times as well as the others a modality does, the mean over the tasks.

    Of two modalities it is the ratio of their scores, as in section 3.2 of Peng et al.; of three,
    each is held against the mean of the others. A task counts with its weight, and for the
    modalities that can decide it, if they are several.
    """
    sums: dict[Modality, float] = {}
    total: dict[Modality, float] = {}
    for task, by_modality in scores.items():
        for m, own in by_modality.items():
            if others := [score for other, score in by_modality.items() if other != m]:
                ratio = float(own / torch.stack(others).mean().clamp(min=LEAST))
                sums[m] = sums.get(m, 0.0) + weights[task] * ratio
                total[m] = total.get(m, 0.0) + weights[task]
    return {m: sums[m] / total[m] for m in sums}


def coefficient(discrepancy: float, alpha: float) -> float:
    """kᵘ = 1 − tanh(α ρᵘ) where ρᵘ > 1, else 1 (section 3.2 of Peng et al.)."""
    return 1.0 - math.tanh(alpha * discrepancy) if discrepancy > 1 else 1.0


def own_parameters(model: nn.Module, modality: Modality) -> list[nn.Parameter]:
    """A modality's encoder, its projection, and its own maps in the fusion: what bears its name."""
    return [p for name, p in model.named_parameters() if modality in name.split(".")]


def modulate(model: nn.Module, discrepancy: Mapping[Modality, float], alpha: float) -> None:
    """On-the-fly gradient modulation with generalisation enhancement (OGM-GE, Peng et al. 2022,
    Balanced multimodal learning via on-the-fly gradient modulation).

    The gradient g of every parameter of modality u becomes kᵘ g + h with h ~ N(0, σ²), σ the
    standard deviation of g within the parameter (sections 3.2 and 3.3). The noise h gives back what
    a smaller gradient takes from the noise of stochastic descent, which helps to generalise.
    """
    for m, rho in discrepancy.items():
        k = coefficient(rho, alpha)
        for parameter in own_parameters(model, m):
            if (gradient := parameter.grad) is not None:
                noise = torch.randn_like(gradient) * gradient.std(correction=0)
                gradient.mul_(k).add_(noise)
