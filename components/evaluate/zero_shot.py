"""Zero-shot classification: the class whose prompt lies nearest in the space of all modalities."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F

from components.common.errors import InputError
from components.data.assets import AssetTensors
from components.layers.features import encode
from components.layers.projection import Projections
from components.modalities.registry import MODALITIES, Modality
from components.modalities.text.processing import TextProcessor
from components.model.multimodal import MultimodalModel
from components.tasks.classification.head import Classification
from components.tasks.settings import PromptSettings, TaskSettings


@dataclass(frozen=True)
class Space:
    """The space that the align stage made; in the trained model it has moved on.

    Attributes:
        processor: of texts.
        encoder: of texts, in evaluation mode.
        projections: into the space.
        assets: embeddings of length 1 of every asset, [N, E] a modality, in the order of the shard
            sets.
    """

    processor: TextProcessor
    encoder: nn.Module
    projections: Projections
    assets: Mapping[Modality, Tensor]

    @classmethod
    def of(
        cls,
        model: MultimodalModel,
        tokenizer: Tokenizer,
        text_encoder: Path,
        projections: Path,
        embeddings: Path,
    ) -> "Space":
        """From the trained model's parts, with the weights that they had in the align stage."""
        encoder, space = copy.deepcopy((model.encoders["text"], model.projections))
        encoder.load_state_dict(load_file(text_encoder))
        space.load_state_dict(space.state_dict() | load_file(projections))
        processor = TextProcessor(model.config.preprocess.text, tokenizer)
        return cls(processor, encoder, space, load_file(embeddings))

    @torch.no_grad()
    def texts(self, texts: list[str]) -> Tensor:
        """Embeddings of length 1 of texts, [N, E]."""
        inputs = self.processor([text.encode() for text in texts])
        tensors = {name: torch.as_tensor(value) for name, value in inputs.items()}
        pooled = encode(self.encoder, tensors, torch.arange(len(texts))).pooled
        return self.projections.embed("text", pooled)


def check(
    prompts: Mapping[str, PromptSettings],
    kinds: Mapping[str, Classification],
    learnt: Sequence[Modality],
) -> None:
    """Whether prompts can be understood, and their words are for classes that there are.

    Args:
        prompts: of some of the tasks.
        kinds: the classes of the tasks.
        learnt: the modalities that training samples had.

    Raises:
        InputError: it is not so.
    """
    if prompts and "text" not in learnt:
        raise InputError(
            "evaluate.prompts: no sample of the training split has a text, so prompts cannot be "
            "understood. Set it to {}"
        )
    for task, asked in prompts.items():
        if unknown := sorted(set(asked.words) - set(kinds[task].classes)):
            raise InputError(
                f"evaluate.prompts.{task}.words: {', '.join(map(repr, unknown))} are no classes of "
                f"the task. It has: {', '.join(map(repr, kinds[task].classes))}"
            )


def class_embeddings(space: Space, asked: PromptSettings, kind: Classification) -> Tensor:
    """Of each class the mean over its prompts, of length 1 (Radford et al. 2021, 3.1.4): [K, E]."""
    prompts = [
        template.replace("{}", asked.words.get(name, name))
        for name in kind.classes
        for template in asked.templates
    ]
    embedded = space.texts(prompts).unflatten(0, (len(kind.classes), -1))  # [K, templates, E]
    return F.normalize(embedded.mean(1), dim=-1)


def measure(
    space: Space,
    samples: pd.DataFrame,
    assets: Mapping[Modality, AssetTensors],
    tasks: Mapping[str, TaskSettings],
    prompts: Mapping[str, PromptSettings],
    kinds: Mapping[str, Classification],
) -> dict[str, dict[str, dict[str, float]]]:
    """Metrics by task and the modality that is compared with the prompts.

    Args:
        space: that everything lies in.
        samples: those of one split.
        assets: by modality, those that the model learnt from.
        tasks: by name.
        prompts: of some of the tasks.
        kinds: the classes of the tasks.

    Returns:
        `zero_shot_accuracy`, the share of the samples whose own class is the nearest, and
        `zero_shot_chance`, what naming the most frequent class each time would reach; a task has
        those modalities that decide it alone, or all where none does, if samples have them.
    """
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name, asked in prompts.items():
        classes = class_embeddings(space, asked, kinds[name])  # [K, E]
        labels = samples[tasks[name].column]
        for m in tasks[name].decided_by or MODALITIES:
            if m not in assets:
                continue
            targets = kinds[name].targets(labels.where(samples[f"{m}_id"].notna()))  # [n]
            known = kinds[name].known(targets)
            if known.any():
                rows = assets[m].rows(samples[f"{m}_id"])[known]
                logits, targets = space.assets[m][rows] @ classes.T, targets[known]
                values = {
                    "zero_shot_accuracy": kinds[name].quality(logits, targets),
                    "zero_shot_chance": int(targets.bincount().max()) / len(targets),
                }
                for metric, value in values.items():
                    result.setdefault(metric, {}).setdefault(name, {})[m] = value
    return result
