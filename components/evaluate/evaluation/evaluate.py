"""The evaluation of a model: predictions of clean and corrupted media, figures, latency, size."""

from components.common.metrics import EVALUATED_SPLIT
from components.data.samples import held_out, read_samples
from components.data.tables import read_table
from components.evaluate.baselines import ABOVE, baseline_figures, beside_baselines
from components.evaluate.evaluation.latency import SINGLE_ROWS, measure_latency
from components.evaluate.evaluation.results import Evaluation
from components.evaluate.evaluation.settings import EvaluationArguments, EvaluationSettings
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
from components.tasks.baseline import BASELINES
from components.tasks.registry import with_heads
from components.training.determinism import make_deterministic


def evaluate(arguments: EvaluationArguments, settings: EvaluationSettings, key: str) -> None:
    """Evaluate the model, and write the results with the fingerprint of all that decides them."""
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
    results = Evaluation(arguments.evaluation)
    results.write(content, predictions, contributed, robustness)
