"""Ask a registered model from the shell: one question, or a table of them."""

import argparse
import os
import sys
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from components.common.errors import InputError, Unavailable
from components.config.load import load_settings
from components.config.settings import Settings
from components.registry.tracking import DEFAULT_URI, connect, explained, shown
from components.serving.batch import answer_table


def read(path: Path | None, option: str) -> bytes | None:
    """The bytes of a file named on the command line.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path and path.read_bytes()
    except OSError as error:
        raise InputError(f"--{option}: {path} cannot be read: {error.strerror}") from error


def question(arguments: argparse.Namespace) -> pd.DataFrame:
    """One row with what was given.

    Raises:
        InputError: nothing was asked, or a file cannot be read.
    """
    row = {
        "image": read(arguments.image, "image"),
        "text": arguments.text,
        "audio": read(arguments.audio, "audio"),
    }
    given = {modality: [value] for modality, value in row.items() if value is not None}
    if not given:
        raise InputError("nothing to answer: give --image, --text or --audio, or several of them")
    return pd.DataFrame(given)


def answer(model, asked: pd.DataFrame) -> pd.Series:
    """What a model answers to one row.

    Raises:
        InputError: the row is at fault.
    """
    from mlflow import MlflowException

    try:
        return model.predict(asked).iloc[0]
    except MlflowException as error:
        raise InputError(error.message.removeprefix("row 0 has ")) from error


def load(uri: str | None, params: Path):
    """The model that a URI names, or the one in use.

    Raises:
        InputError: there is no such model.
        Unavailable: MLflow's store does not answer.
    """
    settings = None if uri else names(params)
    mlflow = connect()
    with explained(mlflow):
        uri = uri or in_use(mlflow, settings)
        try:
            return mlflow.pyfunc.load_model(uri)
        except (mlflow.MlflowException, OSError) as error:
            if isinstance(error.__cause__, ImportError):
                raise InputError(
                    f"{uri} holds the code of another version of this project, which does not load "
                    f"here: {error.__cause__}. Check out the commit that its tag git_commit names, "
                    "or train it again"
                ) from error
            missing = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
            if getattr(error, "error_code", missing[0]) not in missing:
                raise
            raise InputError(
                f"{uri} cannot be loaded from {shown(mlflow.get_tracking_uri())}: {error}. "
                "Make one first: make run"
            ) from error


def names(params: Path) -> Settings:
    """The settings, which say what the model and its aliases are called.

    Raises:
        InputError: there are no settings that say it.
    """
    if not params.exists():
        raise InputError(
            f"{params} is missing, which names the model. Name one with --model, as "
            "models:/synesthesia/3"
        )
    return load_settings(params)


def in_use(mlflow, settings: Settings) -> str:
    """The champion; before any was promoted, the newest model, which is said on stderr."""
    options, champion = settings.register_, settings.promote.alias
    aliases = _aliases(mlflow, options.model)
    if champion not in aliases and options.alias in aliases:
        print(
            f"note: no version of {options.model} is the {champion} yet, so the {options.alias} "
            f"answers, version {aliases[options.alias]}. Promote one: python -m flows.promote",
            file=sys.stderr,
        )
        return f"models:/{options.model}@{options.alias}"
    return f"models:/{options.model}@{champion}"


def _aliases(mlflow, model: str) -> dict[str, str]:
    try:
        return mlflow.MlflowClient().get_registered_model(model).aliases
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return {}


def lines(answers: pd.Series) -> list[str]:
    """Each task's answer and confidence; an answer of several classes has a line a class."""
    confidences = {f"{task}_confidence" for task in answers.index}
    result = []
    for task in (name for name in answers.index if name not in confidences):
        values, shares = parts(answers[task]), parts(answers.get(f"{task}_confidence"))
        if values is None:
            continue
        for value, share in zip_longest(values or ["none"], shares or []):
            said = f"{value:.6g}" if isinstance(value, float) else value
            result.append(f"{task:<16}{said:<15} " + ("" if share is None else f"{share:.2%}"))
    return result


def parts(value: str | float | list | None) -> list | None:
    """The parts of an answer, of which most have one; None if there is no answer."""
    if isinstance(value, list):
        return value
    return None if pd.isna(value) else [value]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Ask a model about an image, a text, a sound, or several of them; or about "
        "each row of a table.",
        epilog=f"Models come from MLFLOW_TRACKING_URI, or from {DEFAULT_URI}.",
    )
    parser.add_argument("--image", type=Path, help="an image file")
    parser.add_argument("--text", help="a question or any text")
    parser.add_argument("--audio", type=Path, help="a sound file")
    parser.add_argument(
        "--table",
        type=Path,
        help="Parquet with columns image and audio, each a path from the table's folder or the "
        "bytes of a file, and text; null where a row lacks it",
    )
    parser.add_argument("--answers", type=Path, help="Parquet to write: the table and its answers")
    parser.add_argument(
        "--model",
        help="an MLflow model URI, as models:/synesthesia/3; if left out, the champion of the "
        "model that params.yaml names, or the newest model before there is a champion",
    )
    parser.add_argument("--params", type=Path, default=Path("params.yaml"), help="settings")
    return parser


def work(arguments: argparse.Namespace) -> None:
    """Answer what the command line asks.

    Raises:
        InputError: a mistake in it, or there is no such model.
        Unavailable: MLflow's store does not answer.
    """
    if (arguments.table is None) != (arguments.answers is None):
        raise InputError("--table and --answers belong together: give both, or neither")
    if arguments.table is not None:
        model = load(arguments.model, arguments.params)
        print(answer_table(model, arguments.table, arguments.answers))
    else:
        asked = question(arguments)
        print(*lines(answer(load(arguments.model, arguments.params), asked)), sep="\n")


def main() -> None:
    """Exit code 2 for a mistake in what was asked, 75 where MLflow's store does not answer."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # several threads would wait for each other
    try:
        work(parser().parse_args())
    except (InputError, Unavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, InputError) else os.EX_TEMPFAIL) from None


if __name__ == "__main__":
    main()
