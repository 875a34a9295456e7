"""Stage `register`: an MLflow run with everything about the model, and a registered version."""

from collections.abc import Mapping
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from components.common.files import read_json, write_json
from components.common.hashing import file_hash
from components.common.metrics import Figures, Metric
from components.modalities.registry import modality
from components.model.folder import CONFIG
from components.model.predictor import Predictor
from components.register.card import description, tags, write_card
from components.register.lineage import Lineage
from components.register.register import Registration
from components.register.run_log import RunLog
from components.register.settings import (
    RegisterArguments,
    RegisterSettings,
    RegisterStageSettings,
)
from components.registry.shown import runs_page
from components.registry.tracking import (
    connect,
    experiment_id,
    mlflow_errors,
    without_password,
)
from components.registry.versions import ModelVersions
from components.stage.stage import Stage

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def main(arguments: RegisterArguments, settings: RegisterStageSettings) -> None:
    """Run the stage."""
    options = settings.register_
    content = (arguments.model, arguments.metrics, arguments.retrieval, arguments.histories)
    fingerprint = file_hash(*content)
    version = register(arguments, options, fingerprint)
    registration = {"model": options.model, "alias": options.alias, "fingerprint": fingerprint}
    write_json(arguments.registration, registration)
    mlflow = connect()
    with mlflow_errors(mlflow):
        page = runs_page(mlflow.get_tracking_uri(), experiment_id(mlflow, options.experiment))
    print(summary(arguments, options, version, without_password(page)))


def register(
    arguments: RegisterArguments, options: RegisterSettings, fingerprint: str
) -> "ModelVersion":
    """Return the model's version in MLflow, created if need be, with the alias."""
    mlflow = connect()
    with mlflow_errors(mlflow):
        experiment = experiment_id(mlflow, options.experiment)
        registration = Registration(mlflow, experiment, options.model, fingerprint)
        version = registration.find()
        if version is None:
            lineage = Lineage.here(arguments.lock, arguments.registration)
            predictor = Predictor(arguments.model)
            card = partial(write_card, arguments, options.model, lineage, predictor)
            log = RunLog(mlflow, experiment, arguments, lineage, predictor)
            version = registration.register(
                partial(log.log, card(whole=True)),
                tags(arguments, lineage, predictor),
                description(card(whole=False)),
            )
        registration.delete_leftovers()
        ModelVersions(mlflow, options.model).set_alias(options.alias, str(version.version))
    return version


def summary(
    arguments: RegisterArguments, options: RegisterSettings, version: "ModelVersion", page: str
) -> str:
    """Return what a person wants to know when the pipeline has ended."""
    figures = Figures(read_json(arguments.metrics))
    tables = [
        table_lines(figures.metrics[name], tasks, figures.split) for name, tasks in figures.tables()
    ]
    modalities = read_json(arguments.model / CONFIG)["modalities"]
    media = " ".join(f"--{m} {'TEXT' if modality(m).is_inline else 'FILE'}" for m in modalities)
    registered = f"model {options.model}, version {version.version}, alias {options.alias}"
    return "\n".join(
        [
            *chain.from_iterable(tables),
            "",
            f"report      {arguments.report}",
            f"MLflow run  {version.run_id}: {registered}",
            f"browse      make ui, and open {page}",
            f"predict     python -m components.serving.predict {media}",
        ]
    )


def table_lines(metric: Metric, tasks: Mapping[str, Mapping[str, float]], split: str) -> list[str]:
    """Return a metric as lines of text: one column per task, one line per subset of modalities."""
    subsets = list(dict.fromkeys(subset for values in tasks.values() for subset in values))
    width = max(map(len, subsets)) + 2
    title = f"{metric.name.replace('_', ' ')} on the {split} split"
    lines = ["", title, " " * width + "".join(f"{task:>15}" for task in tasks)]
    for subset in subsets:
        cells = (metric.format(v[subset]) if subset in v else "–" for v in tasks.values())
        lines.append(f"{subset:<{width}}" + "".join(f"{cell:>14} " for cell in cells))
    return lines


STAGE = Stage(__doc__, RegisterArguments, lambda _: RegisterStageSettings, main)

if __name__ == "__main__":
    STAGE.main()
