"""The whole model: encoders, projections, fusion, Transformer and one head per task."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from components.fusion.fusion import FeaturesByModality, FusionSize, RowsByModality
from components.fusion.registry import FUSIONS
from components.huggingface.encoder_file import Heads
from components.layers.features import Encoder, Features
from components.layers.named_modules import NamedModules
from components.layers.projection import Projections
from components.layers.transformer import Transformer
from components.modalities.registry import encoders_of
from components.model.config import ModelConfig
from components.model.experts import Experts
from components.tasks.task import Task


class MultimodalModel(nn.Module):
    """Assets of several modalities in, any of them missing; logits per task out.

    The fused tokens and, last, a learnt readout token pass through a Transformer, which is causal
    unless the fusion says otherwise; heads read the readout, generative ones all tokens.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config, self.tasks = config, config.tasks_with_labels()
        options, shape = config.model, config.model.transformer
        encoders = {m: _build_encoder(config, m) for m in config.modalities}
        self.encoders = nn.ModuleDict(encoders)
        widths = {m: encoder.width for m, encoder in encoders.items()}
        self.projections = Projections(widths, config.embed_dim)
        fusion = FUSIONS[options.fusion.kind]
        size = FusionSize(config.modalities, config.embed_dim, shape)
        self.fusion = fusion(size, options.fusion)
        self.readout = nn.Parameter(torch.zeros(shape.width))
        self.transformer = Transformer(shape, causal=fusion.IS_CAUSAL)
        self.heads = NamedModules({name: task.head(shape) for name, task in self.tasks.items()})
        self.experts = _build_experts(config, self.tasks, encoders)

    def encoder(self, modality: str) -> Any:
        """Return the encoder of a modality."""
        return self.encoders[modality]

    @property
    def last_shared(self) -> nn.Parameter:
        """The last matrix that every head reads through."""
        return [p for p in self.transformer.parameters() if p.ndim > 1][-1]

    def encode(self, inputs: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Features]:
        """Return features of distinct assets, from the tensors of the processors."""
        given = (m for m in self.config.modalities if m in inputs)
        return {m: self.encoder(m).encode(inputs[m]) for m in given}

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> dict[str, Any]:
        """Return logits by task.

        Args:
            features: of each distinct asset, [N, T, D] per modality; a modality that no sample has
                may be left out.
            rows: for each of B samples the row of its asset in `features`, -1 where the modality
                is missing, [B] per modality; each sample has at least one modality.

        Returns:
            [B, outputs] per task; of a generative task a `DecoderInput` of B texts.
        """
        logits = self.fused(features, rows)
        return logits if self.experts is None else self.experts(logits, features, rows)

    def fused(self, features: FeaturesByModality, rows: RowsByModality) -> dict[str, Any]:
        """Return logits by task, without what experts say."""
        projected = {m: self.projections[m](f) for m, f in features.items()}
        fused = self.fusion(projected, rows)
        readout = self.readout.expand(len(fused.tokens), 1, -1)  # [B, 1, D]
        mask = torch.cat([fused.mask, fused.mask.new_ones(len(fused.mask), 1)], 1)  # [B, T + 1]
        tokens = torch.cat([fused.tokens, readout], 1)  # [B, T + 1, D]
        only_readout = not any(task.IS_GENERATIVE for task in self.tasks.values())
        x = self.transformer(tokens, mask, last=only_readout)  # [B, 1 or T + 1, D]
        logits = {
            name: head(x, mask) if self.tasks[name].IS_GENERATIVE else head(x[:, -1])
            for name, head in self.heads.items()
        }
        votes = fused.votes
        if votes is not None:
            logits = {name: self._average(name, said, votes) for name, said in logits.items()}
        return logits

    def expert(self, modality: str) -> Heads:
        """Return the heads of a modality."""
        return {
            (part, task): self._head(modality, part, task).state_dict()
            for part, tasks in self.config.experts.get(modality, {}).items()
            for task in tasks
        }

    def load_expert(self, modality: str, heads: Heads) -> None:
        """Give the heads of a modality their weights."""
        for (part, task), weights in heads.items():
            self._head(modality, part, task).load_state_dict(weights)

    def _head(self, modality: str, part: str, task: str) -> nn.Module:
        assert self.experts is not None
        return self.experts.head(task, modality, part)

    def _average(self, name: str, logits: Any, votes: Tensor) -> Any:
        """Return logits of B samples from those of the V modalities that vote: [V, K] → [B, K]."""
        task = self.tasks[name]
        if task.IS_GENERATIVE:
            scattered = logits.scatter(votes)
        else:
            scattered = logits.new_zeros(*votes.shape, logits.shape[1])  # [B, M, K]
            scattered[votes] = logits
        return task.average(scattered, self.config.voters(name, votes))


def _build_experts(
    config: ModelConfig, tasks: Mapping[str, Task], encoders: Mapping[str, Encoder]
) -> Experts | None:
    known = {n for parts in config.experts.values() for names in parts.values() for n in names}
    decided = {name: task for name, task in tasks.items() if name in known}
    widths = {(m, "pooled"): encoder.width for m, encoder in encoders.items()}
    widths |= {(m, "plain"): e.plain.width for m, e in encoders.items() if e.plain is not None}
    return Experts(widths, decided, config.experts) if decided else None


def _build_encoder(config: ModelConfig, modality: str) -> Encoder:
    sections = config.inputs[modality], config.encoders[modality]
    return encoders_of(modality).build(*sections, config.descriptions.get(modality))
