"""The whole model: encoders, projections, fusion, Transformer and one head a task."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from components.config.command import View
from components.config.settings import Settings
from components.fusion import FUSIONS, MUTUAL
from components.fusion.output import FeaturesByModality, RowsByModality
from components.huggingface.description import Description
from components.layers.heads import Heads
from components.layers.projection import Projections
from components.layers.transformer import Transformer
from components.modalities.encoders import build_encoder
from components.modalities.registry import MODALITIES, Modality
from components.modalities.settings import FeatureSettings, PreprocessSettings
from components.model.settings import ModelSettings
from components.stage.section import Section
from components.tasks.generation.decoder import Draft
from components.tasks.labels import Vocabulary
from components.tasks.settings import TaskKind
from components.tasks.task import Kind
from components.tasks.task_kinds import KINDS


class TaskConfig(Section):
    """What rebuilds a task's head.

    Attributes:
        kind: of the task.
        vocabulary: what ingest learnt from its labels.
        decided_by: the modalities each of which alone decides it; empty if it takes several.
    """

    kind: TaskKind
    vocabulary: Vocabulary
    decided_by: tuple[Modality, ...]


class ModelConfig(Section):
    """Everything that rebuilds a model: it lies beside the weights as JSON.

    Attributes:
        preprocess: how raw media become inputs.
        features: the encoders.
        descriptions: what rebuilds those that are models of Transformers.
        aligned_width: width of the space that all modalities share.
        model: fusion and Transformer.
        tasks: by name.
        learnt: the modalities that training samples had; of the others the weights are random.
    """

    preprocess: PreprocessSettings
    features: FeatureSettings
    descriptions: dict[Modality, Description]
    aligned_width: int
    model: ModelSettings
    tasks: dict[str, TaskConfig]
    learnt: tuple[Modality, ...]

    @classmethod
    def of(
        cls,
        settings: View | Settings,
        vocabulary: Mapping[str, Vocabulary],
        learnt: Sequence[Modality],
        descriptions: Mapping[Modality, Description] = MappingProxyType({}),
    ) -> "ModelConfig":
        """Of the model that the settings describe, with this vocabulary a task."""
        return cls(
            preprocess=settings.preprocess,
            features=settings.features,
            descriptions=dict(descriptions),
            aligned_width=settings.align.width,
            model=settings.model,
            tasks={
                name: TaskConfig(
                    kind=settings.tasks[name].kind,
                    vocabulary=words,
                    decided_by=settings.tasks[name].decided_by,
                )
                for name, words in vocabulary.items()
                if settings.tasks[name].kind in KINDS
            },
            learnt=tuple(learnt),
        )

    def kinds(self) -> dict[str, Kind]:
        """Each task with its vocabulary, as its head learns it."""
        return {name: KINDS[task.kind](**task.vocabulary) for name, task in self.tasks.items()}

    def answerable(self, task: str, presence: Tensor) -> Tensor:
        """bool [B]: whether the modalities present (bool [B, modalities]) can decide a task."""
        deciding = self.tasks[task].decided_by
        if not deciding:
            return presence.any(1)
        return presence[:, [MODALITIES.index(m) for m in deciding]].any(1)

    def voters(self, task: str, votes: Tensor) -> Tensor:
        """bool [B, M]: of those that vote the ones that can decide a task, or all if none can."""
        deciding = self.tasks[task].decided_by or MODALITIES
        able = votes & torch.tensor([m in deciding for m in MODALITIES], device=votes.device)
        return torch.where(able.any(1, keepdim=True), able, votes)


class MultimodalModel(nn.Module):
    """Image, text and sound in, any of them missing; one set of logits a task out.

    The fused tokens and, last, a learnt readout token pass through a Transformer, causal (as GPT)
    unless the fusion is left to it (`MUTUAL`); the readout sees them all, and the heads read it. A
    head that writes reads all of them.

    Attributes:
        kinds: what the logits of each task mean.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config, self.kinds = config, config.kinds()
        options = config.model
        self.encoders = nn.ModuleDict(
            {
                m: build_encoder(m, config.preprocess, config.features, config.descriptions.get(m))
                for m in MODALITIES
            }
        )
        widths = {m: self.encoders[m].width for m in MODALITIES}
        self.projections = Projections(widths, config.aligned_width)
        self.fusion = FUSIONS[options.fusion](config.aligned_width, options)
        self.readout = nn.Parameter(torch.zeros(options.width))
        self.transformer = Transformer(
            options.width,
            options.layers,
            options.heads,
            options.dropout,
            causal=options.fusion not in MUTUAL,
            norm=options.norm,
        )
        self.heads = Heads({task: kind.head(options) for task, kind in self.kinds.items()})

    @property
    def last_shared(self) -> nn.Parameter:
        """The last matrix that every head reads through."""
        return [p for p in self.transformer.parameters() if p.ndim > 1][-1]

    def encode(self, inputs: Mapping[Modality, Mapping[str, Tensor]]) -> FeaturesByModality:
        """Features of distinct assets, from the tensors that the processors give."""
        return {m: self.encoders[m](**inputs[m]) for m in MODALITIES if m in inputs}

    def forward(
        self, features: FeaturesByModality, rows: RowsByModality
    ) -> dict[str, Tensor | Draft]:
        """Logits by task.

        Args:
            features: each distinct asset once, [N, T, D] a modality; a modality that no sample
                has may be left out.
            rows: for each of B samples the row of its asset in `features`, -1 where the modality
                is missing, [B] a modality; at least one modality of a sample is there.

        Returns:
            [B, outputs] a task; of one whose kind writes, a `Draft` of B texts.
        """
        projected = {m: self.projections[m](f) for m, f in features.items()}
        fused = self.fusion(projected, rows)
        readout = self.readout.expand(len(fused.tokens), 1, -1)  # [B, 1, D]
        mask = torch.cat([fused.mask, fused.mask.new_ones(len(fused.mask), 1)], 1)  # [B, T + 1]
        tokens = torch.cat([fused.tokens, readout], 1)  # [B, T + 1, D]
        alone = not any(kind.WRITES for kind in self.kinds.values())  # nothing reads the others
        x = self.transformer(tokens, mask, last=alone)  # [B, 1 or T + 1, D]
        logits = {
            task: head(x, mask) if self.kinds[task].WRITES else head(x[:, -1])
            for task, head in self.heads.items()
        }
        if fused.votes is None:
            return logits
        return {task: self._average(task, said, fused.votes) for task, said in logits.items()}

    def _average(self, task: str, said: Tensor | Draft, votes: Tensor) -> Tensor | Draft:
        """Logits of B samples from those of the V modalities that vote: [V, K] → [B, K]."""
        if self.kinds[task].WRITES:
            spread = said.spread(votes)
        else:
            spread = said.new_zeros(*votes.shape, said.shape[1])  # [B, M, K]
            spread[votes] = said
        return self.kinds[task].average(spread, self.config.voters(task, votes))
