"""The encoder of a modality: trained here, or pretrained; and the features of its assets."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd
import torch

from components.common.errors import InputError
from components.common.files import read_json
from components.data.assets import AssetTensors, load_assets
from components.data.samples import read_samples
from components.data.tables import write_table
from components.features.arguments import FeaturesArguments
from components.features.encode_shards import encode_shards
from components.features.encoder_training import (
    EncoderData,
    EncoderWithHeads,
    decided_tasks,
    self_supervised,
    split_rows,
    task_objectives,
    train_encoder,
)
from components.features.plain_heads import plain_heads
from components.features.pretrained import load_heads, load_published, load_weights
from components.features.settings import FeaturesSettings
from components.huggingface.description import describe
from components.huggingface.encoder_file import Heads, save_encoder
from components.huggingface.locate import is_pretrained_model
from components.layers.features import Encoder
from components.layers.plain import PLAIN, PlainExtractor
from components.modalities.encoding import pretext_of
from components.modalities.registry import encoders_of, modality, transcripts_of
from components.modalities.settings import EncoderSettings
from components.stage.stage import run_fingerprint
from components.training.checkpoint import Checkpoint
from components.training.determinism import make_deterministic
from components.training.tables import HISTORY


@dataclass
class Given:
    """What the stage reads, each file once and when it is asked for."""

    arguments: FeaturesArguments

    @cached_property
    def samples(self) -> pd.DataFrame:
        """The samples."""
        return read_samples(self.arguments.samples, [self.arguments.modality])

    @cached_property
    def vocabulary(self) -> dict[str, Any]:
        """What ingest learnt of each task's labels."""
        return read_json(self.arguments.vocabulary)

    @cached_property
    def assets(self) -> AssetTensors:
        """The tensors of all assets, with plain features once they are computed."""
        return load_assets(self.arguments.tensors)

    def add_plain(self, plain: PlainExtractor, fit_to: torch.Tensor | None = None) -> None:
        """Compute the plain features of all assets, see `PlainExtractor.add_to`."""
        self.assets = replace(self.assets, tensors=plain.add_to(self.assets.tensors, fit_to))


def encode_modality(arguments: FeaturesArguments, settings: FeaturesSettings) -> None:
    """Make the encoder, train it unless it comes with weights, and encode every asset."""
    make_deterministic(settings.seed, settings.threads)
    m, folder, given = arguments.modality, arguments.pretrained, Given(arguments)
    options: EncoderSettings = getattr(settings.features, m)
    names, encoders = modality(m).encoder_names, encoders_of(m)
    description = None
    if is_pretrained_model(options.encoder, folder, names):
        description = describe(options.encoder, folder, names, encoders.INTERFACE)
    encoder = encoders.build(getattr(settings.preprocess, m), options, description)
    heads: Heads = {}
    if options.pretrained:
        history = load_weights(encoder, folder / options.pretrained, m)
        if options.keep_heads:
            decided = decided_tasks(m, settings.tasks, given.vocabulary)
            heads = load_heads(folder / options.pretrained, m, decided)
    elif description is not None:
        if options.keep_heads:
            raise InputError(
                f"features.{m}.keep_heads: true, but {options.encoder} is not trained here, so it "
                "has no heads. Set it to false"
            )
        history = load_published(encoder, options.encoder, folder, names, encoders.INTERFACE)
    else:
        history, heads = train_here(given, settings, encoder)
    if encoder.plain is not None:
        heads |= plain_heads_of(encoder.plain, given, settings)
    learnt = tasks_of(heads, settings, given)
    save_encoder(arguments.encoder, encoder, description, heads, learnt)
    write_table(arguments.history, history, HISTORY)
    form = [options.model_dump(exclude=set(options.LEARNING_KEYS)), settings.threads]
    encode_shards(encoder, arguments.encoder, form, arguments.tensors, arguments.features)
    arguments.checkpoint.unlink(missing_ok=True)


def tasks_of(heads: Heads, settings: FeaturesSettings, given: Given) -> dict[str, Any]:
    """Return the kind and the vocabulary of each task of heads, as their file has them."""
    names = sorted({task for _, task in heads})
    return {n: {"kind": settings.tasks[n].kind, "vocabulary": given.vocabulary[n]} for n in names}


def train_here(
    given: Given, settings: FeaturesSettings, encoder: Encoder
) -> tuple[pd.DataFrame, Heads]:
    """Train the encoder in place on what its modality alone can know.

    Return the history, and the heads of tasks if they are kept.
    """
    arguments = given.arguments
    options: EncoderSettings = getattr(settings.features, arguments.modality)
    checkpoint = Checkpoint(arguments.checkpoint, run_fingerprint(__name__, arguments, settings))
    data = self_supervised(training_data(given, settings))
    model = EncoderWithHeads(encoder, data.objectives)
    if encoder.plain is not None:
        given.add_plain(encoder.plain, data.rows["train"])
        data = replace(data, assets=given.assets)
    history = train_encoder(model, data, options, settings.seed, checkpoint)
    kept = [name for name in model.heads if name in settings.tasks] if options.keep_heads else []
    return history, {("pooled", name): model.heads[name].state_dict() for name in kept}


def training_data(given: Given, settings: FeaturesSettings) -> EncoderData:
    """Return what the encoder is trained on."""
    m, texts = given.arguments.modality, given.arguments.texts
    options: EncoderSettings = getattr(settings.features, m)
    samples, assets = given.samples, given.assets
    is_soft = settings.ingest.on_conflict == "soft"
    objectives = task_objectives(m, assets, samples, settings.tasks, given.vocabulary, is_soft)
    if texts is not None:
        learnt = transcripts_of(m).transcript_objectives(options, assets, samples, texts)
        objectives |= learnt
    pretext = pretext_of(m, getattr(settings.preprocess, m), options)
    return EncoderData(m, assets, split_rows(assets, samples, m), objectives, pretext)


def plain_heads_of(plain: PlainExtractor, given: Given, settings: FeaturesSettings) -> Heads:
    """Return heads over plain features of the assets."""
    torch.manual_seed(settings.seed)  # draws are the same whether training was resumed or not
    if PLAIN not in given.assets.tensors:
        given.add_plain(plain)
    known = given.assets, given.samples, settings.tasks, given.vocabulary
    return plain_heads(given.arguments.modality, *known)
