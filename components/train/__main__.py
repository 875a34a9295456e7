"""Stage `train`: fusion, Transformer and heads learn every task at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from components.common.files import read_json
from components.data.samples import modalities_present, read_samples
from components.data.tables import concat_tables, write_table
from components.modalities.encoding import pretext_of
from components.modalities.registry import MODALITIES
from components.model.folder import save_model
from components.stage.arguments import Arguments, input_path, output_path, state_path
from components.stage.stage import Stage, run_fingerprint
from components.train.build import build_model, compile_model
from components.train.data import TrainingData, training_data
from components.train.ensemble import load_members
from components.train.expert_shares import fit_shares
from components.train.joint_training import JointTraining
from components.train.settings import TrainStageSettings
from components.train.warm_start import warm_start
from components.training import distributed
from components.training.checkpoint import Checkpoint
from components.training.determinism import make_deterministic
from components.training.launch import launch, processes_of, training_device
from components.training.loop import Logs, train
from components.training.tables import HISTORY, STEPS


@dataclass(frozen=True, kw_only=True)
class TrainArguments(Arguments):
    """The command line."""

    samples: Path = input_path("Parquet, the samples")
    vocabulary: Path = input_path("JSON, what ingest learnt of each task's labels")
    processors: Path = input_path("folder, what rebuilds each processor; part of the model")
    tensors: Path = input_path("folder, one tensor shard set per modality")
    features: Path = input_path("folder, one feature shard set per modality")
    encoders: Path = input_path("folder, the encoder of each modality")
    projections: Path = input_path("safetensors, the projections of the align stage")
    pretrained: Path = input_path("folder, where settings may name trained models")
    model: Path = output_path("folder, the trained model")
    history: Path = output_path("CSV, metrics by epoch")
    steps: Path = output_path("Parquet, losses and other values by step")
    checkpoint: Path = state_path("safetensors, where an interrupted run resumes")


def main(arguments: TrainArguments, settings: TrainStageSettings) -> None:
    """Run the stage."""
    if settings.train.ensemble:
        write_ensemble(arguments, settings.train.ensemble)
    else:
        train_model(arguments, settings)


def write_ensemble(arguments: TrainArguments, names: Sequence[str]) -> None:
    """Write trained models as one; there is no history of it."""
    model, states = load_members([arguments.pretrained / name for name in names])
    for path, schema in ((arguments.history, HISTORY), (arguments.steps, STEPS)):
        write_table(path, concat_tables([], schema), schema)
    save_model(arguments.model, model, states)


def train_model(arguments: TrainArguments, settings: TrainStageSettings) -> None:
    """Build the model, train it and write it."""
    make_deterministic(settings.seed, settings.threads)
    samples = read_samples(arguments.samples, MODALITIES)
    modalities = modalities_present(samples, MODALITIES)
    states = {m: read_json(arguments.processors / f"{m}.json") for m in modalities}
    vocabulary = read_json(arguments.vocabulary)
    earlier = arguments.encoders, arguments.projections
    model = build_model(modalities, settings, vocabulary, *earlier)
    if settings.train.warm_start:
        warm_start(arguments.pretrained / settings.train.warm_start, model, states, settings.train)
    augment = {
        m: pretext_of(m, settings.preprocess[m], settings.features[m]).augment
        for m in modalities
        if not settings.train.is_frozen(m)
    }
    folders = arguments.tensors, arguments.features
    data = training_data(model, samples, settings.tasks, settings.train, *folders)
    fingerprint = run_fingerprint("components.train.__main__", arguments, settings)
    checkpoint = Checkpoint(arguments.checkpoint, fingerprint)
    data = replace(data, augment=augment)
    count = processes_of(settings.train, settings.train, len(data.samples["train"]))
    work = partial(learn, data, settings.seed, checkpoint, count)
    logs = launch(work, count, settings.train.device)
    write_table(arguments.history, logs.history, HISTORY)
    write_table(arguments.steps, logs.steps, STEPS)
    save_model(arguments.model, model, states)
    arguments.checkpoint.unlink(missing_ok=True)


def learn(data: TrainingData, seed: int, checkpoint: Checkpoint, processes: int) -> Logs:
    """Train the model on its device, as one of the processes that train together."""
    model, settings = data.model, data.settings
    model.to(training_device(processes, settings.device))
    if settings.compile:
        compile_model(model)
    training = JointTraining(data, seed, checkpoint)
    fit_shares(data, training.task_losses)
    logs = train(training)
    if distributed.is_main_process():
        fit_shares(data, training.task_losses)
    return logs


STAGE = Stage(__doc__, TrainArguments, lambda _: TrainStageSettings, main)

if __name__ == "__main__":
    STAGE.main()
