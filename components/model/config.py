"""Configuration of a model: everything that rebuilds it, as JSON beside its weights."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pydantic import model_validator
from torch import Tensor

from components.huggingface.description import Description
from components.modalities.registry import modality
from components.modalities.settings import EncoderSettings
from components.model.settings import ModelSettings
from components.stage.settings import Count, Section
from components.tasks.labels import Vocabulary
from components.tasks.registry import head_of, with_heads
from components.tasks.settings import TaskSettings
from components.tasks.task import Task


class TaskConfig(Section):
    """What rebuilds a task's head: see `TaskSettings`, and what ingest learnt from the labels."""

    kind: str
    vocabulary: dict[str, Any]
    sufficient_modalities: tuple[str, ...]


class ModelConfig(Section):
    """Everything but the weights that rebuilds a model.

    The order of the modalities is that of everything with one entry each.
    """

    modalities: tuple[str, ...]  # of the training samples
    inputs: dict[str, Any]  # settings `preprocess` per modality
    encoders: dict[str, Any]  # settings `features` per modality
    descriptions: dict[str, Description]  # of encoders that are published models
    embed_dim: int  # width of the space that all modalities share
    model: ModelSettings
    tasks: dict[str, TaskConfig]
    members: Count = 1  # of an ensemble
    # Heads over single modalities: modality → part of its features → tasks.
    experts: Mapping[str, Mapping[str, tuple[str, ...]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _parse_sections(cls, content: Any) -> Any:
        """Parse the sections of each modality with the classes of its folder."""
        if not isinstance(content, dict):
            return content
        parsed = dict(content)
        for m in content.get("modalities", ()):
            record = modality(m)
            for key, section in (("inputs", record.inputs), ("encoders", record.encoder)):
                value = section.model_validate(parsed[key][m], strict=False)
                parsed[key] = {**parsed[key], m: value}
        return parsed

    def tasks_with_labels(self) -> dict[str, Task]:
        """Return each task with its vocabulary, as its head learns it."""
        return {name: head_of(task.kind)(**task.vocabulary) for name, task in self.tasks.items()}

    def answerable(self, task: str, presence: Tensor) -> Tensor:
        """Return whether the modalities present, bool [B, modalities], can decide a task: [B]."""
        return presence[:, self._deciding(task)].any(1)

    def voters(self, task: str, votes: Tensor) -> Tensor:
        """Return which votes, bool [B, modalities], can decide a task, or all if none can."""
        able = votes & torch.tensor(self._deciding(task), device=votes.device)
        return torch.where(able.any(1, keepdim=True), able, votes)

    def _deciding(self, task: str) -> list[bool]:
        """Return for each modality whether it alone decides a task, or all if it takes several."""
        sufficient = self.tasks[task].sufficient_modalities or self.modalities
        return [m in sufficient for m in self.modalities]


def model_config(
    modalities: Sequence[str],
    inputs: Mapping[str, Section],
    encoders: Mapping[str, EncoderSettings],
    embed_dim: int,
    model: ModelSettings,
    tasks: Mapping[str, TaskSettings],
    vocabulary: Mapping[str, Vocabulary],
    descriptions: Mapping[str, Description],
    experts: Mapping[str, Mapping[str, tuple[str, ...]]] | None = None,
) -> ModelConfig:
    """Return the configuration of the model that settings describe; see `ModelConfig`."""
    return ModelConfig(
        modalities=tuple(modalities),
        inputs={m: inputs[m] for m in modalities},
        encoders={m: encoders[m] for m in modalities},
        descriptions=dict(descriptions),
        experts=dict(experts or {}),
        embed_dim=embed_dim,
        model=model,
        tasks={
            name: TaskConfig(
                kind=task.kind,
                vocabulary=dict(vocabulary[name]),
                sufficient_modalities=task.sufficient_modalities,
            )
            for name, task in with_heads(tasks).items()
        },
    )
