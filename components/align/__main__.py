"""Stage `align`: projections of all modalities into one space, trained contrastively."""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from components.align.alignment import Aligner, AlignmentTraining, alignment_data
from components.align.relations import by_sample, by_task
from components.align.settings import AlignStageSettings
from components.common.files import replacing, write_json
from components.common.metrics import DEFINITIONS, EVALUATED_SPLIT, definitions
from components.data.assets import load_assets
from components.data.batches import asset_rows
from components.data.samples import read_samples
from components.data.tables import write_table
from components.modalities.registry import MODALITIES
from components.stage.arguments import Arguments, input_path, output_path, state_path
from components.stage.stage import Stage, run_fingerprint
from components.tasks.retrieval.metrics import RANKS
from components.training.checkpoint import Checkpoint
from components.training.determinism import make_deterministic
from components.training.loop import skip, train
from components.training.tables import HISTORY

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class AlignArguments(Arguments):
    """The command line."""

    samples: Path = input_path("Parquet, the samples")
    features: Path = input_path("folder, one feature shard set per modality")
    projections: Path = output_path("safetensors, the projections")
    embeddings: Path = output_path("safetensors, the embedding of every asset by modality")
    metrics: Path = output_path("JSON, retrieval in every direction on held-out samples")
    ranks: Path = output_path("Parquet, ranks of the queries of retrieval tasks")
    history: Path = output_path("CSV, metrics by epoch")
    checkpoint: Path = state_path("safetensors, where an interrupted run resumes")


def main(arguments: AlignArguments, settings: AlignStageSettings) -> None:
    """Run the stage."""
    make_deterministic(settings.seed, settings.threads)
    samples = read_samples(arguments.samples, MODALITIES)
    assets = {m: load_assets(arguments.features / m) for m in MODALITIES}
    rows = asset_rows(samples, assets, MODALITIES)
    pooled = {m: assets[m].tensors["pooled"] for m in MODALITIES if assets[m].ids}
    pairs, tasks = by_sample(samples, rows, MODALITIES), by_task(samples, rows, settings.tasks)
    data = alignment_data(pooled, pairs, tasks)
    aligner = Aligner(data, settings.align)
    fingerprint = run_fingerprint("components.align.__main__", arguments, settings)
    checkpoint = Checkpoint(arguments.checkpoint, fingerprint)
    run = AlignmentTraining(settings.align, settings.seed, checkpoint, data, aligner)
    if data.relations:
        history = train(run).history
    else:
        history = skip(run.label, "no training sample has two modalities")
    projections = aligner.eval().projections
    with replacing(arguments.projections) as temporary:
        save_file(projections.state_dict(), temporary)
    with torch.no_grad(), replacing(arguments.embeddings) as temporary:
        save_file({m: projections.embed(m, pooled[m]) for m in pooled}, temporary)
    write_table(arguments.history, history, HISTORY)
    ids, split = {m: assets[m].ids for m in MODALITIES}, settings.evaluate.split
    write_table(arguments.ranks, run.rank_table(ids, split), RANKS)
    recall = run.pair_recall(split)
    figures = {metric.name: values for metric, values in recall.items()}
    others = {DEFINITIONS: definitions(recall), EVALUATED_SPLIT: split}
    write_json(arguments.metrics, figures | others)
    arguments.checkpoint.unlink(missing_ok=True)
    for direction, value in figures["recall_at_1"].items():
        log.info("recall@1 %-12s %.4f (%s)", direction, value, split)


STAGE = Stage(__doc__, AlignArguments, lambda _: AlignStageSettings, main)

if __name__ == "__main__":
    STAGE.main()
