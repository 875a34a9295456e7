"""Stage `train`: fusion, Transformer and heads learn every task at once."""

import argparse
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from safetensors.torch import load_file

from components.common.errors import InputError
from components.common.files import read_json
from components.config.command import Stage, View
from components.config.settings import Settings
from components.data.tables import HISTORY, SAMPLES, STEPS, read_table, write_table
from components.modalities.encoder_file import load_description
from components.modalities.registry import MODALITIES, Modality
from components.model.folder import save_model
from components.model.multimodal import ModelConfig, MultimodalModel
from components.tasks.labels import Vocabulary
from components.train.balance import Balance
from components.train.data import Course, learnt_from, prepare
from components.train.objective import losses, measure
from components.train.warm_start import start_from
from components.training import distributed as parallel
from components.training.checkpoint import Checkpoint
from components.training.determinism import make_deterministic
from components.training.launch import device, together
from components.training.loop import fit
from components.training.run import Recipe

STAGE = Stage(
    description="Train fusion, Transformer and one head a task jointly, modalities dropped at "
    "random.",
    inputs={
        "samples": "Parquet, the samples",
        "vocabulary": "JSON, what ingest learnt of each task's labels",
        "tokenizer": "JSON, the tokenizer; it becomes part of the model",
        "projections": "safetensors, the projections of the align stage",
        **{f"{m}-tensors": f"folder, the tensor shard set of {m}" for m in MODALITIES},
        **{f"{m}-features": f"folder, the feature shard set of {m}" for m in MODALITIES},
        **{f"{m}-encoder": f"safetensors, the encoder of {m}" for m in MODALITIES},
        "pretrained": "folder, where train.start may name a trained model",
    },
    outputs={
        "model": "folder, the trained model: weights, configuration, tokenizer",
        "history": "CSV, metrics by epoch",
        "steps": "Parquet, losses and what else is logged by step",
        "checkpoint": "safetensors, where an interrupted run resumes; removed at the end",
    },
    params=("seed", "threads", "tasks", "preprocess", "features", "align", "model", "train"),
)


def build(
    settings: View | Settings,
    vocabulary: Mapping[str, Vocabulary],
    learnt: Sequence[Modality],
    encoders: Mapping[Modality, Path],
    projections: Path,
) -> MultimodalModel:
    """The model with the weights of the stages before; frozen encoders do not learn."""
    found = {m: load_description(encoders[m]) for m in MODALITIES}
    descriptions = {m: description for m, description in found.items() if description}
    model = MultimodalModel(ModelConfig.of(settings, vocabulary, learnt, descriptions))
    for m in MODALITIES:
        model.encoders[m].load_state_dict(load_file(encoders[m]))
        model.encoders[m].requires_grad_(m not in settings.train.frozen)
    aligned = load_file(projections)  # of a modality that no sample has there is none
    model.projections.load_state_dict(model.projections.state_dict() | aligned)
    return model


def compile_model(model: MultimodalModel) -> None:
    """Let torch.compile make the model faster from its first step on.

    Raises:
        InputError: there is no C++ compiler.
    """
    names = [os.environ.get("CXX", ""), "g++", "clang++"]
    if not any(map(shutil.which, names)):
        raise InputError(
            "train.compile: true takes a C++ compiler; neither $CXX nor g++ nor clang++ was found. "
            "Install one, or set train.compile to false"
        )
    model.compile(dynamic=True)  # batches differ in their numbers of samples and assets


def recipe(course: Course, settings: View | Settings, checkpoint: Checkpoint) -> Recipe:
    """What a training run does with a course."""
    balance = Balance(course, settings.train)
    return Recipe(
        module=balance.module,
        batches=balance.steps,
        share=balance.share,
        losses=partial(losses, course),
        measure=partial(measure, course),
        total=balance.total,
        before_step=balance.before_step,
        after_epoch=balance.after_epoch,
        note=balance.note,
        options=settings.train,
        loop=settings.train,
        seed=settings.seed,
        checkpoint=checkpoint,
        label="train",
        rates={
            course.model.encoders[m]: getattr(settings.train.encoder_learning_rates, m)
            for m in MODALITIES
        },
    )


def train(arguments: argparse.Namespace, settings: View) -> None:
    """Build the model, train it and write it; one of the processes that train together."""
    make_deterministic(settings.seed, settings.threads)
    table = read_table(arguments.samples, SAMPLES)
    vocabulary = read_json(arguments.vocabulary)
    tensor_sets, feature_sets, encoders = (
        {m: getattr(arguments, f"{m}_{kind}") for m in MODALITIES}
        for kind in ("tensors", "features", "encoder")
    )
    model = build(settings, vocabulary, learnt_from(table), encoders, arguments.projections)
    if settings.train.start:
        folder = arguments.pretrained / settings.train.start
        start_from(folder, model, arguments.tokenizer, settings.train.frozen)
    model.to(device(settings.train))
    if settings.train.compile:
        compile_model(model)
    course = prepare(settings, table, model, tensor_sets, feature_sets)
    checkpoint = Checkpoint.of(arguments, settings, STAGE)
    logs = fit(recipe(course, settings, checkpoint))
    if not parallel.first():
        return
    write_table(arguments.history, logs.history, HISTORY)
    write_table(arguments.steps, logs.steps, STEPS)
    save_model(arguments.model, model, arguments.tokenizer.read_text())
    checkpoint.clear()


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage, in as many processes as the settings say."""
    together(partial(train, arguments, settings), "components.train", settings.train)


if __name__ == "__main__":
    STAGE.run(work)
