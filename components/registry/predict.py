"""Ask a registered model from the shell."""

import argparse
import sys
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


def main() -> None:
    """Print each task's answer and confidence; exit code 2 for a mistake in what was asked."""
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
    for task in answers.index[::2]:
        if pd.notna(answers[task]):
            print(f"{task:<16}{answers[task]:<16}{answers[f'{task}_confidence']:.2%}")


if __name__ == "__main__":
    main()
