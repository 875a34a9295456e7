"""Zero-shot classification: the class whose prompts are nearest in the shared space."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from components.common.errors import InputError
from components.common.metrics import Metric
from components.common.tensor_files import readable_tensors
from components.data.assets import AssetTensors, load_tensors
from components.data.samples import asset_column
from components.evaluate.measure import Values
from components.evaluate.settings import PromptSettings
from components.huggingface.encoder_file import load_encoder
from components.layers.features import Encoder, encode
from components.layers.projection import Projections
from components.modalities.modality import Processor
from components.modalities.registry import language_modalities, processing_of
from components.model.config import ModelConfig
from components.model.ensemble import Ensemble
from components.model.folder import ProcessorStates
from components.model.multimodal import MultimodalModel
from components.tasks.classification.head import Classification
from components.tasks.settings import HeadTaskSettings, TaskSettings

ACCURACY = Metric("zero_shot_accuracy")
MAJORITY = "zero_shot_majority"  # accuracy of always predicting the most frequent class

Prompts = Mapping[str, PromptSettings]  # by task


@dataclass(frozen=True)
class SharedSpace:
    """The space that the align stage made; training has moved that of the trained model."""

    modality: str  # of prompts, as are processor and encoder
    processor: Processor
    encoder: Encoder
    projections: Projections
    assets: Mapping[str, Tensor]  # embeddings of length 1, [N, E] in the order of the shard sets

    @torch.no_grad()
    def embed(self, texts: list[str]) -> Tensor:
        """Return embeddings of length 1 of texts, [N, E]."""
        inputs = self.processor([text.encode() for text in texts])
        tensors = {name: torch.as_tensor(value) for name, value in inputs.items()}
        pooled = encode(self.encoder, tensors, torch.arange(len(texts))).pooled
        return self.projections.embed(self.modality, pooled)


def shared_space(
    model: MultimodalModel,
    processors: ProcessorStates,
    encoders: Path,
    projections: Path,
    embeddings: Path,
) -> SharedSpace:
    """Return the space: parts of a trained model with the weights that the align stage left."""
    m = prompt_modality(model.config)
    one = model.members[0] if isinstance(model, Ensemble) else model
    encoder, space = copy.deepcopy((one.encoder(m), one.projections))
    trained = encoders / f"{m}.safetensors"
    with readable_tensors(trained):
        encoder.load_state_dict(load_encoder(trained)[0])
    space.load_state_dict(load_tensors(projections), strict=False)
    return SharedSpace(
        modality=m,
        processor=processing_of(m).build(processors[m]),
        encoder=encoder,
        projections=space,
        assets=load_tensors(embeddings),
    )


def prompt_modality(config: ModelConfig) -> str:
    """Return the modality that prompts are assets of.

    Raises:
        InputError: the model has none.
    """
    if found := [m for m in config.modalities if m in language_modalities()]:
        return found[0]
    raise InputError(
        "evaluate.prompts: no sample of the training split has "
        f"{' or '.join(language_modalities())}, so prompts cannot be understood. Set it to {{}}"
    )


@dataclass(frozen=True)
class ZeroShotTask:
    """A task that prompts classify."""

    settings: HeadTaskSettings
    prompts: PromptSettings
    learnt: Classification


def zero_shot_tasks(
    prompts: Prompts, tasks: Mapping[str, TaskSettings], model: MultimodalModel
) -> dict[str, ZeroShotTask]:
    """Return the tasks that prompts classify.

    Raises:
        InputError: words are for unknown classes.
    """
    result = {}
    for name, asked in prompts.items():
        task, learnt = tasks[name], model.tasks[name]
        # Settings see to it.
        assert isinstance(task, HeadTaskSettings) and isinstance(learnt, Classification)
        if unknown := sorted(set(asked.words) - set(learnt.classes)):
            raise InputError(
                f"evaluate.prompts.{name}.words: unknown classes {', '.join(map(repr, unknown))}. "
                f"The task has: {', '.join(map(repr, learnt.classes))}"
            )
        result[name] = ZeroShotTask(task, asked, learnt)
    return result


def class_embeddings(space: SharedSpace, asked: PromptSettings, task: Classification) -> Tensor:
    """Return the normalised mean embedding of each class's prompts, [K, E] for K classes.

    After Radford et al. 2021, 3.1.4.
    """
    prompts = [
        template.replace("{}", asked.words.get(name, name))
        for name in task.classes
        for template in asked.templates
    ]
    embedded = space.embed(prompts).unflatten(0, (len(task.classes), -1))  # [K, templates, E]
    return F.normalize(embedded.mean(1), dim=-1)


def zero_shot_accuracy(
    space: SharedSpace,
    samples: pd.DataFrame,
    assets: Mapping[str, AssetTensors],
    tasks: Mapping[str, ZeroShotTask],
) -> Values:
    """Measure zero-shot classification by task and modality of the asset that is classified.

    `zero_shot_accuracy` is the fraction of the samples whose own class is the nearest,
    `zero_shot_majority` that of the most frequent class. Modalities are those that suffice for the
    task, or all if none does, as far as samples have them.
    """
    result: Values = {}
    for name, task in tasks.items():
        classes = class_embeddings(space, task.prompts, task.learnt)  # [K, E]
        labels = samples[task.settings.column]
        for m in task.settings.sufficient_modalities or assets:
            if m not in assets:
                continue
            ids = samples[asset_column(m)]
            targets = task.learnt.targets(labels.where(ids.notna()))  # [n]
            known = task.learnt.known(targets)
            if known.any():
                logits = space.assets[m][assets[m].rows(ids)[known]] @ classes.T
                accuracy = task.learnt.validate(logits, targets[known])
                majority = int(targets[known].bincount().max()) / int(known.sum())
                result.setdefault(ACCURACY.name, {}).setdefault(name, {})[m] = accuracy
                result.setdefault(MAJORITY, {}).setdefault(name, {})[m] = majority
    return result
