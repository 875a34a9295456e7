"""Evaluate a model on the raw media of held-out samples: metrics, robustness, latency, size.

The stage `evaluate` reads the tensors that the pipeline made for its own model. A model that was
trained with other settings, such as a champion, needs other tensors; here its own processors make
them, so that two models predict the same test set and can be compared.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from components.common.hashing import file_hash, fingerprint
from components.common.metrics import EVALUATED_SPLIT
from components.common.source_code import code_hash
from components.data.samples import held_out, read_samples
from components.data.tables import read_table
from components.evaluate.baselines import ABOVE, baseline_figures, beside_baselines
from components.evaluate.evaluation.latency import SINGLE_ROWS, measure_latency
from components.evaluate.evaluation.results import Evaluation
from components.evaluate.evaluation.settings import EvaluationSettings
from components.evaluate.evaluation.test_set import (
    CorruptedPredictions,
    TestSet,
    cluster_contributions,
    encode_assets,
    known_tasks,
    predict_test_set,
    raw_rows,
)
from components.evaluate.measure import contributions, figures, metrics_by_task
from components.evaluate.robustness.corruptions import CORRUPTIONS, SUITES
from components.evaluate.robustness.measure import measure_robustness, summary
from components.modalities.registry import MODALITIES
from components.model.predictor import Predictor
from components.stage.arguments import Arguments, input_path, option, output_path
from components.stage.stage import Stage
from components.tasks.baseline import BASELINES
from components.tasks.registry import with_heads
from components.training.determinism import make_deterministic

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class EvaluationArguments(Arguments):
    """The command line."""

    model: Path = input_path("folder, the model")
    samples: Path = input_path("Parquet, the samples, of which the held-out ones are predicted")
    media: Path = input_path("folder, one media shard set per modality")
    baselines: Path | None = input_path("Parquet, as the stage baselines writes it", optional=True)
    evaluation: Path = output_path("folder of the results; kept as it is if they are up to date")
    suite: Literal["none", "quick", "full"] = option("of corruptions", "none")


def main(arguments: EvaluationArguments, settings: EvaluationSettings) -> None:
    """Evaluate the model, unless the results are up to date."""
    results, key = Evaluation(arguments.evaluation), fingerprint_of(arguments, settings)
    if results.exists and results.content["fingerprint"] == key:
        log.info("%s is up to date", arguments.evaluation)
        return
    make_deterministic(settings.seed, settings.threads)
    predictor = Predictor(arguments.model)
    model, modalities = predictor.model, predictor.model.config.modalities
    samples = read_samples(arguments.samples, MODALITIES)
    test_set = TestSet(
        table=held_out(samples, settings.evaluate.split, modalities, arguments.samples),
        media=arguments.media,
        tasks=known_tasks(model, settings.tasks),
        group=settings.ingest.splits.group,
    )
    encoded = {m: encode_assets(predictor, m, test_set) for m in modalities}
    predictions, metrics = predict_test_set(model, test_set, encoded), metrics_by_task(model)
    suite = [(n, s) for n, s in SUITES[arguments.suite] if CORRUPTIONS[n].modality in modalities]
    corrupted = CorruptedPredictions(predictor, test_set, encoded, predictions)
    robustness = measure_robustness(metrics, predictions, corrupted, suite)
    files = [path for path in arguments.model.rglob("*") if path.is_file()]
    above = {}
    if arguments.baselines is not None:
        baselines = read_table(arguments.baselines, BASELINES)
        added = contributions(predictions, metrics)
        beside = beside_baselines(added, baselines, samples, metrics)
        above = baseline_figures(baselines, beside, settings.evaluate.split)
    slices = settings.ingest.slices
    found = figures(predictions, test_set.table, slices, metrics, above, [ABOVE])
    content = {
        "fingerprint": key,
        "figures": found | {EVALUATED_SPLIT: settings.evaluate.split},
        "tasks": list(with_heads(settings.tasks)),
        "latency": measure_latency(predictor, raw_rows(predictor, test_set, SINGLE_ROWS)),
        "robustness": summary(robustness),
        "size_bytes": sum(path.stat().st_size for path in files),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    contributed = cluster_contributions(predictions, metrics, test_set)
    results.write(content, predictions, contributed, robustness)
    log.info("%s contains the results", arguments.evaluation)


def fingerprint_of(arguments: EvaluationArguments, settings: EvaluationSettings) -> str:
    """Return a fingerprint of all that decides the results: model, test set, settings and code."""
    indices = [arguments.media / m / "index.parquet" for m in MODALITIES]  # name shards by content
    given = [arguments.baselines] if arguments.baselines else []
    files = file_hash(arguments.model, arguments.samples, *indices, *given)
    code = code_hash("components.evaluate.evaluation.__main__")
    return fingerprint(files, code, arguments.suite, settings.model_dump(mode="json"))


STAGE = Stage(__doc__, EvaluationArguments, lambda _: EvaluationSettings, main)

if __name__ == "__main__":
    STAGE.main()
