"""The encoder of a modality: trained here, or pretrained; and the features of its assets."""

from pathlib import Path
from typing import Any

import pandas as pd

from components.common.errors import InputError
from components.common.files import read_json
from components.data.assets import load_assets
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
from components.features.pretrained import load_heads, load_published, load_weights
from components.features.settings import FeaturesSettings
from components.huggingface.description import describe
from components.huggingface.encoder_file import Weights, save_encoder
from components.huggingface.locate import is_pretrained_model
from components.layers.features import Encoder
from components.modalities.encoding import pretext_of
from components.modalities.registry import encoders_of, modality, transcripts_of
from components.modalities.settings import EncoderSettings
from components.stage.stage import run_fingerprint
from components.training.checkpoint import Checkpoint
from components.training.determinism import make_deterministic
from components.training.tables import HISTORY


def encode_modality(arguments: FeaturesArguments, settings: FeaturesSettings) -> None:
    """Make the encoder, train it unless it comes with weights, and encode every asset."""
    make_deterministic(settings.seed, settings.threads)
    m, folder = arguments.modality, arguments.pretrained
    options: EncoderSettings = getattr(settings.features, m)
    names, encoders = modality(m).encoder_names, encoders_of(m)
    description, heads = None, {}
    if is_pretrained_model(options.encoder, folder, names):
        description = describe(options.encoder, folder, names, encoders.INTERFACE)
    encoder = encoders.build(getattr(settings.preprocess, m), options, description)
    if options.pretrained:
        history = load_weights(encoder, folder / options.pretrained, m)
        if options.keep_heads:
            decided = decided_tasks(m, settings.tasks, read_json(arguments.vocabulary))
            heads = load_heads(folder / options.pretrained, m, decided)
    elif description is not None:
        if options.keep_heads:
            raise InputError(
                f"features.{m}.keep_heads: true, but {options.encoder} is not trained here, so it "
                "has no heads. Set it to false"
            )
        history = load_published(encoder, options.encoder, folder, names, encoders.INTERFACE)
    else:
        history, heads = train_here(arguments, settings, encoder)
    heads = heads if options.keep_heads else {}
    learnt = tasks_of(heads, settings, arguments.vocabulary)
    save_encoder(arguments.encoder, encoder, description, heads, learnt)
    write_table(arguments.history, history, HISTORY)
    form = [options.model_dump(exclude=set(options.LEARNING_KEYS)), settings.threads]
    encode_shards(encoder, arguments.encoder, form, arguments.tensors, arguments.features)
    arguments.checkpoint.unlink(missing_ok=True)


def tasks_of(heads: Weights, settings: FeaturesSettings, vocabulary: Path) -> dict[str, Any]:
    """Return the kind and the vocabulary of each task of heads, as their file has them."""
    names = sorted({name.rpartition(".")[0] for name in heads})
    learnt = read_json(vocabulary) if names else {}
    return {n: {"kind": settings.tasks[n].kind, "vocabulary": learnt[n]} for n in names}


def train_here(
    arguments: FeaturesArguments, settings: FeaturesSettings, encoder: Encoder
) -> tuple[pd.DataFrame, Weights]:
    """Train the encoder in place on what its modality alone can know.

    Return the history, and the weights of the heads of tasks.
    """
    m, tasks = arguments.modality, settings.tasks
    options: EncoderSettings = getattr(settings.features, m)
    samples, vocabulary = read_samples(arguments.samples, [m]), read_json(arguments.vocabulary)
    assets = load_assets(arguments.tensors)
    is_soft = settings.ingest.on_conflict == "soft"
    objectives = task_objectives(m, assets, samples, tasks, vocabulary, is_soft)
    if arguments.texts is not None:
        given = options, assets, samples, arguments.texts
        objectives |= transcripts_of(m).transcript_objectives(*given)
    pretext = pretext_of(m, getattr(settings.preprocess, m), options)
    data = EncoderData(m, assets, split_rows(assets, samples, m), objectives, pretext)
    fingerprint = run_fingerprint(__name__, arguments, settings)
    checkpoint = Checkpoint(arguments.checkpoint, fingerprint)
    data = self_supervised(data)
    model = EncoderWithHeads(encoder, data.objectives)
    history = train_encoder(model, data, options, settings.seed, checkpoint)
    heads = {name: head.state_dict() for name, head in model.heads.items() if name in tasks}
    return history, {
        f"{n}.{part}": value for n, head in heads.items() for part, value in head.items()
    }
