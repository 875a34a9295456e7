"""Several models as one, whose answers are averaged (Lakshminarayanan et al. 2017)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from components.common.errors import InputError
from components.fusion.fusion import FeaturesByModality, RowsByModality
from components.huggingface.encoder_file import Heads
from components.layers.features import Encoder, Features, cat_plain
from components.model.config import ModelConfig
from components.model.multimodal import MultimodalModel
from components.tasks.task import Task


class EnsembleEncoder(Encoder):
    """Encoders of one modality side by side: the widths of their features add up."""

    def __init__(self, members: Sequence[Encoder]):
        super().__init__()
        self.members: Any = nn.ModuleList(members)
        self.width = sum(member.width for member in members)
        self.max_batch_size = min(member.max_batch_size for member in members)  # pyright: ignore[reportAttributeAccessIssue]

    def encode(self, inputs: Mapping[str, Tensor]) -> Features:
        """Return the features of all members, [N, T, D] each, in one: [N, T, members × D]."""
        found: list[Features] = [member.encode(inputs) for member in self.members]
        tokens, pooled = ([getattr(f, name) for f in found] for name in ("tokens", "pooled"))
        plain = cat_plain(found, -1)
        return Features(torch.cat(tokens, -1), found[0].mask, torch.cat(pooled, -1), plain)


class Ensemble(MultimodalModel):
    """As many models as the configuration has members, used like one.

    Its logits are those of the mean answer: of probabilities where a task has any.
    """

    def __init__(self, config: ModelConfig):
        nn.Module.__init__(self)
        self.config, self.tasks = config, config.tasks_with_labels()
        one = config.model_copy(update={"members": 1})
        self.members: Any = nn.ModuleList(MultimodalModel(one) for _ in range(config.members))

    def encoder(self, modality: str) -> EnsembleEncoder:
        """Return the encoders of a modality."""
        return EnsembleEncoder([member.encoder(modality) for member in self.members])

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> dict[str, Any]:
        """Return logits by task, as `MultimodalModel` does."""
        parts = {m: self._split(found) for m, found in features.items()}
        answers = [
            member({m: part[place] for m, part in parts.items()}, rows)
            for place, member in enumerate(self.members)
        ]
        return {name: self._mean(name, [given[name] for given in answers]) for name in self.tasks}

    def _split(self, features: Any) -> list[Features]:
        """Return the features of each member."""
        count = len(self.members)
        tokens, pooled = features.tokens.chunk(count, -1), features.pooled.chunk(count, -1)
        plain = [None] * count if features.plain is None else features.plain.chunk(count, -1)
        parts = zip(tokens, pooled, plain, strict=True)
        return [Features(t, features.mask, p, found) for t, p, found in parts]

    def _mean(self, name: str, logits: Sequence[Tensor]) -> Tensor:
        stacked = torch.stack(list(logits), 1)  # [B, members, outputs]
        return self.tasks[name].average(stacked, stacked.new_ones(stacked.shape[:2]).bool())


def ensemble_of(models: Mapping[str, MultimodalModel]) -> Ensemble:
    """Return models, by a name for messages, as an ensemble in evaluation mode.

    Heads are rewritten for the labels of the first one: the order of classes, the unit of numbers.

    Raises:
        InputError: they differ in more than their weights and that, or a task writes texts, which
            have no mean.
    """
    first, *_ = models.values()
    for name, model in models.items():
        _check(name, model, first)
    ensemble = Ensemble(first.config.model_copy(update={"members": len(models)}))
    for member, model in zip(ensemble.members, models.values(), strict=True):
        member.load_state_dict(model.state_dict())
        for name, task in first.tasks.items():
            head = model.heads[name].state_dict()
            member.heads[name].load_state_dict(task.inherit(head, model.tasks[name], head))
        for m in model.config.experts:
            member.load_expert(m, _rewritten_experts(model, m, first.tasks))
    return ensemble.eval()


def _rewritten_experts(model: MultimodalModel, modality: str, tasks: Mapping[str, Task]) -> Heads:
    """Return the experts of a model for the labels of `tasks`.

    What fusion adds to them, times its gain, moves the zero of numbers too; they do the rest of it.
    """
    assert model.experts is not None
    gains = dict(zip(model.experts.tasks, model.experts.gain.tolist(), strict=True))
    result: Heads = {}
    for (part, name), head in model.expert(modality).items():
        zero = {tensor: torch.zeros_like(value) for tensor, value in head.items()}
        moved, shift = (tasks[name].inherit(x, model.tasks[name], x) for x in (head, zero))
        rest = {tensor: value - gains[name] * shift[tensor] for tensor, value in moved.items()}
        result[part, name] = rest
    return result


def _check(name: str, model: MultimodalModel, first: MultimodalModel) -> None:
    """Raise InputError if a model cannot be a member beside the first one."""
    configs = [m.config.model_dump(mode="json", exclude={"tasks"}) for m in (model, first)]
    if odd := [key for key, value in configs[0].items() if value != configs[1][key]]:
        raise InputError(
            f"{name} differs from the first member in {', '.join(odd)}. Train the members of an "
            "ensemble with the same settings"
        )
    for task in {**first.tasks, **model.tasks}:
        one, other = (m.tasks.get(task) for m in (model, first))
        if one is None or other is None or _outputs(one) != _outputs(other):
            raise InputError(
                f"{name} and the first member of the ensemble did not learn the same labels of "
                f"the task {task}: one of them had too few examples. Ask for fewer folds"
            )
        if one.IS_GENERATIVE:
            raise InputError(
                f"the task {task} writes texts, which have no mean: no ensemble can be made"
            )


def _outputs(task: Task) -> tuple[type[Task], list[str]]:
    return type(task), sorted(task.output_names)
