"""Stage `evaluate`: the model on held-out samples, by task, slice and subset of modalities."""

import logging
from dataclasses import dataclass
from pathlib import Path

from components.common.files import read_json, write_json
from components.common.metrics import EVALUATED_SPLIT, Figures
from components.data.assets import load_assets
from components.data.samples import held_out, read_samples
from components.data.tables import read_table, write_table
from components.evaluate.baselines import ABOVE, baseline_figures, beside_baselines
from components.evaluate.measure import contributions, figures, metrics_by_task, retrieval
from components.evaluate.predict import predict
from components.evaluate.report import Results, write_report
from components.evaluate.settings import EvaluateStageSettings
from components.evaluate.significance import significance
from components.evaluate.zero_shot import (
    ACCURACY,
    shared_space,
    zero_shot_accuracy,
    zero_shot_tasks,
)
from components.modalities.registry import MODALITIES
from components.model.folder import load_model, load_processor_states
from components.stage.arguments import Arguments, input_path, output_path
from components.stage.stage import Stage
from components.tasks.baseline import BASELINES
from components.tasks.metrics import PREDICTIONS
from components.tasks.registry import with_heads
from components.tasks.retrieval.metrics import RANKS, RETRIEVAL_METRICS
from components.training.determinism import make_deterministic
from components.training.tables import HISTORY, STEPS

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments(Arguments):
    """The command line."""

    model: Path = input_path("folder, the trained model")
    samples: Path = input_path("Parquet, the samples")
    retrieval: Path = input_path("JSON, the figures of the align stage")
    ranks: Path = input_path("Parquet, ranks of the queries of retrieval tasks")
    histories: Path = input_path("folder, metrics by epoch, one CSV per stage")
    steps: Path = input_path("Parquet, losses and other values by step of joint training")
    tensors: Path = input_path("folder, one tensor shard set per modality")
    encoders: Path = input_path("folder, the encoders that the align stage used")
    projections: Path = input_path("safetensors, the projections of the align stage")
    embeddings: Path = input_path("safetensors, the embedding of every asset by modality")
    baselines: Path = input_path("Parquet, what the baselines get right on held-out samples")
    fits: Path = input_path("JSON, what each baseline learnt from, by task and modality")
    metrics: Path = output_path("JSON, metrics by task and subset of modalities, and by slice")
    predictions: Path = output_path("Parquet, every prediction")
    plots: Path = output_path("folder, plots as PNG")
    report: Path = output_path("HTML, all of it on one page")


def main(arguments: EvaluateArguments, settings: EvaluateStageSettings) -> None:
    """Run the stage."""
    make_deterministic(settings.seed, settings.threads)
    model = load_model(arguments.model)
    modalities = model.config.modalities
    split, samples = settings.evaluate.split, read_samples(arguments.samples, MODALITIES)
    test = held_out(samples, split, modalities, arguments.samples)
    assets = {m: load_assets(arguments.tensors / m) for m in modalities}
    zero_shot = {}
    if prompts := settings.evaluate.prompts:
        asked = zero_shot_tasks(prompts, settings.tasks, model)
        processors = load_processor_states(arguments.model, model)
        files = (arguments.encoders, arguments.projections, arguments.embeddings)
        space = shared_space(model, processors, *files)
        zero_shot = zero_shot_accuracy(space, test, assets, asked)
    predictions = predict(model, test, assets, with_heads(settings.tasks))
    metrics, ranks = metrics_by_task(model), read_table(arguments.ranks, RANKS)
    baselines, ingest = read_table(arguments.baselines, BASELINES), settings.ingest
    beside = beside_baselines(contributions(predictions, metrics), baselines, samples, metrics)
    p_values = significance(beside, test, ingest.splits.group, settings.seed)
    above = baseline_figures(baselines, beside, split)
    others = retrieval(ranks, settings.tasks) | zero_shot | above
    judged_by = (*RETRIEVAL_METRICS, ACCURACY, ABOVE)
    content = figures(predictions, test, ingest.slices, metrics, others, judged_by)
    content |= {EVALUATED_SPLIT: split}
    histories = sorted(arguments.histories.glob("*.csv"))
    results = Results(
        model=model,
        samples=len(test),
        figures=Figures(content),
        predictions=predictions,
        metrics=metrics,
        ranks=ranks,
        alignment=read_json(arguments.retrieval),
        histories={path.stem: read_table(path, HISTORY) for path in histories},
        steps=read_table(arguments.steps, STEPS),
        prompts=prompts,
        beside=beside,
        p_values=p_values,
        fits=read_json(arguments.fits),
    )
    write_table(arguments.predictions, predictions, PREDICTIONS)
    write_report(results, arguments.plots, arguments.report, settings.workers)
    write_json(arguments.metrics, content)
    for name, tasks in results.figures.tables():
        for task, values in tasks.items():
            for subset, value in values.items():
                log.info("%-14s %-18s %-12s %.4f", task, subset, name, value)


STAGE = Stage(__doc__, EvaluateArguments, lambda _: EvaluateStageSettings, main)

if __name__ == "__main__":
    STAGE.main()
