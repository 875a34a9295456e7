"""How much each expert counts, and what fusion adds, by what suits the validation samples."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from components.data.batches import Samples
from components.model.experts import Experts, Opinions
from components.tasks.class_task import Loss
from components.tasks.task import Task
from components.train.data import TrainingData, decidable_targets
from components.train.joint_training import validated_subsets, with_modalities
from components.training.lbfgs import minimise


@dataclass(frozen=True)
class Said:
    """What experts and fusion say of n samples whose target is known."""

    opinions: Opinions
    fused: Tensor  # [n, outputs]
    targets: Tensor  # [n, …]


def fit_shares(data: TrainingData, losses: Mapping[str, Loss]) -> None:
    """Fit the shares of experts and the gain of fusion, in place, by the validation samples.

    Each is multiplied by a positive number. These minimise the mean loss over the samples, with all
    their modalities and with each one left out, and a penalty: the prior of their logarithms is a
    standard normal distribution, so that few samples change little, and none nothing.
    """
    model, samples = data.model, data.samples["validation"]
    if model.experts is None:
        return
    model.eval()
    found: dict[str, list[Said]] = {name: [] for name in model.experts.tasks}
    with torch.no_grad():
        for kept in validated_subsets(model.config.modalities).values():
            part = with_modalities(samples, model.config.modalities, kept)
            for name, said in _said(data, part).items() if len(part) else ():
                found[name].append(said)
    for row, (name, task) in enumerate(model.experts.tasks.items()):
        if found[name]:
            _fit(model.experts, row, task, found[name], losses[name])


def _said(data: TrainingData, samples: Samples) -> dict[str, Said]:
    """Return what is said of the samples, by task; without tasks none of whose targets is known."""
    model, result = data.model, {}
    assert model.experts is not None
    distinct, compact = samples.compact()
    rows = {m: places.to(data.device) for m, places in compact.rows.items()}
    features = data.features(distinct)
    fused = model.fused(features, rows)
    for name, task in model.experts.tasks.items():
        opinions = model.experts.opinions(name, features, rows)
        targets = decidable_targets(model, name, samples).to(data.device)
        known = task.known(targets)
        if opinions is not None and known.any():
            result[name] = Said(opinions[known], fused[name][known], targets[known])
    return result


def _fit(experts: Experts, row: int, task: Task, found: list[Said], loss: Loss) -> None:
    """Fit what concerns a task, the one in `row` of the shares."""
    shares, gain = experts.shares[row], experts.gain.detach()[row]
    count = sum(len(said.targets) for said in found)
    samples = max(len(said.targets) for said in found)
    change = torch.zeros(len(shares) + 1, device=shares.device, requires_grad=True)  # logarithms

    def total() -> Tensor:
        factors = change.exp()
        value = change.square().sum() / (2 * samples)
        for said in found:
            pooled = said.opinions.pool(task, shares * factors[:-1])
            logits = pooled + gain * factors[-1] * said.fused
            value = value + loss(logits, said.targets) * len(said.targets) / count
        return value

    minimise([change], total)
    factors = change.detach().exp()
    experts.shares[row] *= factors[:-1]
    experts.gain.data[row] *= factors[-1]
