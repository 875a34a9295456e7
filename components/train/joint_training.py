"""Joint training: what happens to a batch from its samples to the loss that is minimised."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.common.errors import InputError
from components.common.metrics import Metric
from components.data.batches import Samples
from components.data.samples import subset_name
from components.model.multimodal import MultimodalModel
from components.tasks.class_task import balanced_loss, sampled_classes
from components.train.data import TrainingData, decidable_targets
from components.train.mixup import Mixing, Pairs, draw_mixing, draw_partners
from components.training.overfitting import Measured, Measurements, some_of
from components.training.run import (
    Losses,
    MicroBatch,
    StepValues,
    TrainingRun,
    Validation,
    weighted_parts,
)
from components.training.settings import LoopSettings
from components.training.task_sampling import SAMPLERS
from components.training.weighting.registry import WEIGHTINGS

ALL = "all"  # in the names of validation metrics: with all modalities that a sample has


@dataclass(frozen=True)
class StepSamples:
    """Training samples of one step, and the tasks whose losses count in it."""

    index: Tensor  # int64 [n]
    tasks: tuple[str, ...]


class JointTraining(TrainingRun):
    """The training of a model on all tasks at once."""

    def __init__(self, data: TrainingData, seed: int, checkpoint):
        settings = data.settings
        super().__init__(optimizer=settings, seed=seed, checkpoint=checkpoint)
        self.data = data
        priors = {name: task.weight for name, task in data.tasks.items()}
        counts = {name: len(data.labelled(name)) for name in data.tasks}
        self.task_losses, self.sampled = {}, {}  # by task: its loss; classes that batches balance
        for name, task in data.tasks.items():
            of_task = data.model.tasks[name], task, data.targets(name)
            self.task_losses[name] = balanced_loss(*of_task)
            if (classes := sampled_classes(*of_task)) is not None:
                self.sampled[name] = classes
        weighting, sampler = settings.weighting, settings.task_sampling
        self.weighting = WEIGHTINGS[weighting.kind](priors, weighting)
        self.sampler = SAMPLERS[sampler.kind](counts, sampler)
        parts = {"model": data.model, "weighting": self.weighting, "sampler": self.sampler}
        self._module = nn.ModuleDict(parts).to(data.device)

    @property
    def label(self) -> str:
        return "train"

    @property
    def module(self) -> nn.Module:
        """The model, and weighting and sampler with what changes from step to step in buffers."""
        return self._module

    @property
    def loop(self) -> LoopSettings:
        return self.data.settings

    @property
    def accumulation_steps(self) -> int:
        return self.data.settings.gradient_accumulation_steps

    @property
    def learning_rates(self) -> Mapping[nn.Module, float]:
        rates, model = self.data.settings.encoder_learning_rates, self.data.model
        return {model.encoders[m]: rates[m] for m in model.config.modalities if m in rates}

    def batches(self) -> list[StepSamples]:
        """Return the steps of an epoch: all samples once, or as many steps of sampled tasks.

        The steps of a sampled task pass through the samples with its label, in a new order each
        time.
        """
        batches = self.data.batches(classes=next(iter(self.sampled.values()), None))
        drawn = self.sampler.draw(len(batches))
        if drawn is None:
            return [StepSamples(batch, self.sampler.tasks) for batch in batches]
        own = {task: self._endless_batches(task) for task in dict.fromkeys(drawn)}
        return [StepSamples(next(own[task]), (task,)) for task in drawn]

    def _endless_batches(self, task: str) -> Iterator[Tensor]:
        index = self.data.labelled(task)
        while True:
            yield from self.data.batches(index, self.sampled.get(task))

    def micro_batches(self, batch: StepSamples, count: int) -> list[MicroBatch]:
        """Drop modalities at random, keep the targets of trained tasks, and split the samples.

        A task none of whose targets is known has no loss in this step. With mixup, samples are
        paired. Raise `InputError` if there are fewer samples than micro-batches.
        """
        model = self.data.model
        samples = self.data.samples["train"][batch.index]
        samples = drop_modalities(model, samples, self.data.settings.modality_dropout)
        targets = {name: samples.targets[name] for name in batch.tasks}
        known = {n: t for n, t in targets.items() if model.tasks[n].known(t).any()}
        samples = Samples(samples.rows, known)
        mixing = self._mixing()
        if mixing is None:
            return split_samples(model, samples, count)
        partners = samples[draw_partners(samples.presence)]
        sides = (split_samples(model, side, count) for side in (samples, partners))
        return [MicroBatch(Pairs(own, other, mixing)) for own, other in zip(*sides, strict=True)]

    def _mixing(self) -> Mixing | None:
        """Draw how the samples of a step are blended; None if they are not."""
        if not self.data.settings.mixup:
            return None
        found = draw_mixing(self.data.model.config, self.data.settings)
        return None if found.share == 1 else found

    def losses(self, batch: Samples | Pairs) -> Losses:
        """Return the loss of each task: the mean over the samples whose target is known.

        Of pairs it is the mean of the losses for both labels, weighted by their shares.
        """
        if isinstance(batch, Samples):
            return self._losses(self.data.logits(batch), batch)
        samples, partners, mixing = batch.samples, batch.partners, batch.mixing
        logits = self.data.blended_logits(samples.batch, partners.batch, mixing)
        own = samples.weighted(self._losses(logits, samples.batch))
        others = partners.weighted(self._losses(logits, partners.batch))
        shares = {name: mixing.share if name in mixing.tasks else 1.0 for name in own}
        return {name: torch.lerp(others[name], own[name], share) for name, share in shares.items()}

    def _losses(self, logits: Mapping[str, Any], samples: Samples) -> Losses:
        result = {}
        for name, targets in samples.targets.items():
            scores = logits[name].float()  # whatever the precision of the model
            result[name] = self.task_losses[name](scores, targets.to(scores.device))
        return result

    def total_loss(self, losses: Losses) -> Tensor:
        return self.weighting(losses, self.data.model.last_shared)

    def before_optimizer_step(self) -> None:
        """Learn the weights of the next step."""
        self.weighting.update()

    def step_values(self) -> StepValues:
        """Return the weights and probabilities of tasks, if they change."""
        values: dict[str, Mapping[str, float | Tensor]] = {}
        if self.weighting.is_learnt:
            values["weight"] = dict(zip(self.weighting.tasks, self.weighting.weights, strict=True))
        if self.sampler.probabilities is not None:
            pairs = zip(self.sampler.tasks, self.sampler.probabilities, strict=True)
            values["probability"] = dict(pairs)
        return values

    def validate(self) -> Validation:
        """Return each task's validation metric for every subset that decides the task."""
        samples, modalities = self.data.samples["validation"], self.data.model.config.modalities
        result: dict[Metric, dict[str, float]] = {}
        for label, kept in validated_subsets(modalities).items():
            for name, found in self._measure(samples, label, kept).items():
                result.setdefault(found.metric, {})[name] = found.value
        return result

    def compare(self) -> tuple[Measurements, Measurements]:
        train, validation = self.data.samples["train"], self.data.samples["validation"]
        some = train[some_of(len(train), len(validation))]
        modalities = self.data.model.config.modalities
        return self._measure(some, ALL, modalities), self._measure(validation, ALL, modalities)

    def _measure(self, samples: Samples, label: str, kept: Sequence[str]) -> dict[str, Measured]:
        """Return each task's metric on samples with some of the modalities, called `label`."""
        model, result = self.data.model, {}
        part = with_modalities(samples, model.config.modalities, kept)
        for name, logits in (self.data.logits(part) if len(part) else {}).items():
            task = model.tasks[name]
            targets = decidable_targets(model, name, part).to(logits.device)
            known = task.known(targets)
            if known.any():
                value = task.validate(logits[known], targets[known])
                metric = validation_metric(task.VALIDATION, label)
                result[name] = Measured(metric, value, int(known.sum()))
        return result

    def after_epoch(self, validation: Validation) -> None:
        """Choose the tasks of the next epoch by what validation measured."""
        progress = {}
        for name, settings in self.data.tasks.items():
            task = self.data.model.tasks[name]
            values = validation.get(validation_metric(task.VALIDATION, ALL), {})
            if name in values:
                progress[name] = task.progress(values[name], settings.goal)
        self.sampler.learn(progress)


def validated_subsets(modalities: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the subsets that validation asks: all modalities, and each one left out."""
    subsets: dict[str, tuple[str, ...]] = {ALL: tuple(modalities)}
    if len(modalities) > 1:
        smaller = combinations(modalities, len(modalities) - 1)
        subsets |= {subset_name(subset): subset for subset in smaller}
    return subsets


def with_modalities(samples: Samples, modalities: Sequence[str], kept: Sequence[str]) -> Samples:
    """Return the samples that have some of the modalities, without the others."""
    keep = samples.presence & torch.tensor([m in kept for m in modalities])
    return samples.keep(keep)[keep.any(1)]


def validation_metric(metric: Metric, subset: str) -> Metric:
    """Return a validation metric of a subset of modalities, as `accuracy image-text`."""
    return replace(metric, name=f"{metric.name} {subset}")


def drop_modalities(model: MultimodalModel, samples: Samples, dropout: float) -> Samples:
    """Drop modalities of samples at random, each with probability `dropout`.

    A task that one modality decides is not asked of a sample that has lost that modality.
    """
    samples = samples.keep(kept_modalities(samples.presence, dropout))
    targets = {name: decidable_targets(model, name, samples) for name in samples.targets}
    return Samples(samples.rows, targets)


def kept_modalities(presence: Tensor, dropout: float) -> Tensor:
    """Return the modalities that are kept, bool [B, M]: at least one per sample."""
    chance = torch.rand(presence.shape).masked_fill(~presence, -1.0)
    last = F.one_hot(chance.argmax(1), presence.shape[1]).bool()  # [B, M]
    return presence & ((chance >= dropout) | last)


def split_samples(model: MultimodalModel, samples: Samples, count: int) -> list[MicroBatch]:
    """Split samples into micro-batches of nearly equal size.

    Raise `InputError` if there are fewer samples than micro-batches.
    """
    if count == 1:
        return [MicroBatch(samples)]
    if len(samples) < count:
        raise InputError(
            f"a step has {len(samples)} samples, too few for {count} micro-batches. Lower "
            "train.gradient_accumulation_steps or train.processes in params.yaml, or raise "
            "train.batch_size"
        )
    parts = [samples[rows] for rows in torch.arange(len(samples)).tensor_split(count)]
    known = {
        name: torch.stack([model.tasks[name].known(part.targets[name]).sum() for part in parts])
        for name in samples.targets
    }
    return weighted_parts(parts, known)
