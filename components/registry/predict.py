"""Ask a registered model from the shell."""

import argparse
import sys
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from components.registry.tracking import DEFAULT_URI, connect
from components.store.errors import InputError


def read(path: Path | None, option: str) -> bytes | None:
    """The bytes of a file named on the command line.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path and path.read_bytes()
    except OSError as error:
        raise InputError(f"--{option}: {path} cannot be read: {error.strerror}") from error


def answer(arguments: argparse.Namespace) -> pd.DataFrame:
    """One row with what the model says.

    Raises:
        InputError: nothing was asked, a file cannot be read, or there is no such model.
    """
    row = {
        "image": read(arguments.image, "image"),
        "text": arguments.text,
        "audio": read(arguments.audio, "audio"),
    }
    given = {modality: [value] for modality, value in row.items() if value is not None}
    if not given:
        raise InputError("nothing to answer: give --image, --text or --audio, or several of them")
    mlflow = connect()
    try:
        model = mlflow.pyfunc.load_model(arguments.model)
    except (mlflow.MlflowException, OSError) as error:
        raise InputError(
            f"{arguments.model} cannot be loaded from {mlflow.get_tracking_uri()}: {error}. "
            "Make one first: make run"
        ) from error
    return model.predict(pd.DataFrame(given))


def lines(answers: pd.Series) -> list[str]:
    """Each task's answer and confidence; an answer of several classes has a line a class."""
    confidences = {f"{task}_confidence" for task in answers.index}
    result = []
    for task in (name for name in answers.index if name not in confidences):
        values, shares = parts(answers[task]), parts(answers.get(f"{task}_confidence"))
        if values is None:
            continue
        for value, share in zip_longest(values or ["none"], shares or []):
            shown = f"{value:.6g}" if isinstance(value, float) else value
            result.append(f"{task:<16}{shown:<15} " + ("" if share is None else f"{share:.2%}"))
    return result


def parts(value: str | float | list | None) -> list | None:
    """The parts of an answer, of which most have one; None if there is no answer."""
    if isinstance(value, list):
        return value
    return None if pd.isna(value) else [value]


def main() -> None:
    """Print each task's answer; exit code 2 for a mistake in what was asked."""
    parser = argparse.ArgumentParser(
        description="Ask the newest model about an image, a text, a sound, or several of them.",
        epilog=f"Models come from MLFLOW_TRACKING_URI, or from {DEFAULT_URI}.",
    )
    parser.add_argument("--image", type=Path, help="an image file")
    parser.add_argument("--text", help="a question or any text")
    parser.add_argument("--audio", type=Path, help="a sound file")
    parser.add_argument(
        "--model", default="models:/synesthesia@challenger", help="an MLflow model URI"
    )
    try:
        answers = answer(parser.parse_args()).iloc[0]
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(*lines(answers), sep="\n")


if __name__ == "__main__":
    main()
