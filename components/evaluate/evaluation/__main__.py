"""Evaluate a model on the raw media of held-out samples: metrics, robustness, latency, size.

The stage `evaluate` reads the tensors that the pipeline made for its own model. A model that was
trained with other settings, such as a champion, needs other tensors; here its own processors make
them, so that two models predict the same test set and can be compared.
"""

import logging

from components.common.hashing import file_hash, fingerprint
from components.common.source_code import code_hash
from components.evaluate.evaluation.results import Evaluation
from components.evaluate.evaluation.settings import EvaluationArguments, EvaluationSettings
from components.modalities.registry import MODALITIES
from components.stage.stage import Stage

log = logging.getLogger(__name__)


def main(arguments: EvaluationArguments, settings: EvaluationSettings) -> None:
    """Evaluate the model, unless the results are up to date."""
    results, key = Evaluation(arguments.evaluation), fingerprint_of(arguments, settings)
    if results.exists and results.content["fingerprint"] == key:
        log.info("%s is up to date", arguments.evaluation)
        return
    from components.evaluate.evaluation.evaluate import evaluate  # here, as it takes seconds

    evaluate(arguments, settings, key)
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
