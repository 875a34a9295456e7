"""Predict with a registered model from the shell: one row of media, or a table."""

import argparse
import os
import sys
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from pydantic import Field

from components.common import command_line
from components.common.errors import InputError
from components.modalities.registry import MODALITIES, modality
from components.registry import defaults
from components.registry.tracking import DATABASE, connect, mlflow_errors
from components.registry.versions import ModelVersions, load_pyfunc
from components.serving.batch import UNUSABLE, predict_table, read_file
from components.stage.settings import Settings, load_settings
from components.stage.stage import exit_codes
from components.tasks.names import confidence_column


class _Register(Settings):
    model: str = defaults.MODEL
    alias: str = defaults.NEWEST


class _Promote(Settings):
    alias: str = defaults.IN_USE


class RegisteredModelSettings(Settings):
    """Name and aliases of the registered model."""

    register_: _Register = Field(_Register(), alias="register")
    promote: _Promote = _Promote()


def main() -> None:
    """Predict what the command line asks for; see `exit_codes`."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # several threads would wait for each other
    arguments = parser().parse_args()
    with exit_codes():
        run(arguments)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_line.parser(
        "Predict with a registered model from any of the modalities, or for each row of a table.",
        epilog=f"Models come from MLFLOW_TRACKING_URI, or from {DATABASE} here.",
    )
    for m in MODALITIES:
        if modality(m).is_inline:
            parser.add_argument(f"--{m}", help="a question or any other text")
        else:
            parser.add_argument(f"--{m}", type=Path, metavar="FILE", help=f"{m} file")
    parser.add_argument(
        "--table",
        type=Path,
        help=f"Parquet with a column for any of {', '.join(MODALITIES)}: texts, bytes of files, or "
        "paths from the table's folder; null where a row lacks the modality",
    )
    parser.add_argument("--output", type=Path, help="Parquet to write: the table and predictions")
    parser.add_argument(
        "--model",
        help="an MLflow model URI, as models:/synesthesia/3; by default the champion of the model "
        "that params.yaml names, or the newest version before there is a champion",
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings")
    return parser


def run(arguments: argparse.Namespace) -> None:
    """Predict and print, or write a table; `InputError` for a mistake in the command line."""
    if (arguments.table is None) != (arguments.output is None):
        raise InputError("--table and --output belong together: give both, or neither")
    if arguments.table is not None:
        model = load(arguments.model, arguments.params)
        print(predict_table(model, arguments.table, arguments.output))
    else:
        row = read_row({m: getattr(arguments, m) for m in MODALITIES})
        print(*lines(predict(load(arguments.model, arguments.params), row)), sep="\n")


def read_row(given: Mapping[str, Path | str | None]) -> pd.DataFrame:
    """Return one row of raw media from texts and paths by modality.

    Raise `InputError` if nothing was given, or a file cannot be read.
    """
    row = {m: _content(m, value) for m, value in given.items() if value is not None}
    if not row:
        options = ", ".join(f"--{m}" for m in MODALITIES)
        raise InputError(f"nothing to predict from: give at least one of {options}")
    return pd.DataFrame([row], dtype=object)  # as pandas' texts cannot hold what is not UTF-8


def _content(m: str, value: Path | str) -> bytes | str:
    try:
        return read_file(value) if isinstance(value, Path) else value
    except OSError as error:
        raise InputError(f"--{m}: {value} cannot be read: {error.strerror}") from error


def predict(model: Any, row: pd.DataFrame) -> pd.Series:
    """Return the predictions for one row; raise `InputError` if it cannot be used."""
    from mlflow import MlflowException

    try:
        return model.predict(row).iloc[0]
    except MlflowException as error:
        if error.error_code != UNUSABLE:
            raise
        raise InputError(error.message.removeprefix("row 0 has ")) from error


def load(uri: str | None, params: Path) -> Any:
    """Return the model that a URI names, by default the model in use.

    Raise `InputError` if there is none, `Unavailable` if MLflow's store does not answer.
    """
    if not uri and not params.exists():
        raise InputError(
            f"{params}, which names the model, is missing. Name one with --model, as "
            "models:/synesthesia/3"
        )
    # First the settings, as connecting makes a database here.
    settings = None if uri else load_settings(params, RegisteredModelSettings)
    mlflow = connect()
    with mlflow_errors(mlflow):
        return load_pyfunc(mlflow, model_in_use(mlflow, settings) if settings else str(uri))


def model_in_use(mlflow: ModuleType, settings: RegisteredModelSettings) -> str:
    """Return the URI of the champion; before there is one, of the newest version, with a note."""
    options, champion = settings.register_, settings.promote.alias
    aliases = ModelVersions(mlflow, options.model).aliases()
    if champion not in aliases and options.alias in aliases:
        print(
            f"note: no version of {options.model} has the alias {champion} yet, so the "
            f"{options.alias} predicts, version {aliases[options.alias]}. Promote one: python -m "
            "flows.promote",
            file=sys.stderr,
        )
        return f"models:/{options.model}@{options.alias}"
    return f"models:/{options.model}@{champion}"


def lines(predictions: pd.Series) -> list[str]:
    """Return each task's prediction and confidence; one line per class of several."""
    confidences = set(map(confidence_column, predictions.index))
    result = []
    for task in (name for name in predictions.index if name not in confidences):
        values = parts(predictions[task])
        fractions = parts(predictions.get(confidence_column(task)))
        if values is None:
            continue
        for value, fraction in zip_longest(values or ["none"], fractions or []):
            shown = f"{value:.6g}" if isinstance(value, float) else value
            confidence = "" if fraction is None else f"{fraction:.2%}"
            result.append(f"{task:<16}{shown:<15} {confidence}")
    return result


def parts(value: Any) -> list | None:
    """Return the parts of a prediction, most have one; None if there is no prediction."""
    if isinstance(value, list):
        return value
    return None if pd.isna(value) else [value]


if __name__ == "__main__":
    main()
