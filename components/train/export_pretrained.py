"""Keep a trained model to go on from: all of it for train.start, and its encoders and tokenizer."""

import argparse
import re
import shutil
import sys
from pathlib import Path

import yaml

from components.common.errors import InputError
from components.common.files import replacing
from components.modalities.encoder_file import save_encoder
from components.model.folder import CONFIG, TOKENIZER, WEIGHTS, load_model
from components.training.settings import FOLDER


def copy(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all."""
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)


def keep(folder: Path, name: str, pretrained: Path) -> dict:
    """Copy a model's folder, its encoders and its tokenizer to where settings may name them.

    Args:
        folder: the model's.
        name: of the copies.
        pretrained: the folder that they go to.

    Returns:
        The settings that name them, nested as in params.yaml.

    Raises:
        InputError: the folder holds no model of this version, or the name is none.
    """
    if not re.fullmatch(FOLDER, name):
        raise InputError(
            f"--name: found {name!r}, expected letters, digits, _, . and -, the first a letter, a "
            "digit or _"
        )
    model, _ = load_model(folder)
    features = {}
    for m in model.config.learnt:
        file = pretrained / m / f"{name}.safetensors"
        save_encoder(file, model.encoders[m], model.config.descriptions.get(m))
        features[m] = {"pretrained": file.name}
    settings: dict = {"features": features, "train": {"start": name}}
    if "text" in features and "text" not in model.config.descriptions:  # else it brings its own
        copy(folder / TOKENIZER, pretrained / f"text/{name}.json")
        settings["preprocess"] = {"text": {"tokenizer": f"{name}.json"}}
    for file in (CONFIG, TOKENIZER, WEIGHTS):  # a folder that has weights is complete
        copy(folder / file, pretrained / "model" / name / file)
    return settings


def main() -> None:
    """Keep a model and print the settings that go on from it; exit code 2 for a mistake."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/synesthesia"), help="its folder")
    parser.add_argument("--name", required=True, help="of the copies, as champion")
    parser.add_argument("--pretrained", type=Path, default=Path("pretrained"), help="folder")
    arguments = parser.parse_args()
    try:
        settings = keep(arguments.model, arguments.name, arguments.pretrained)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(yaml.safe_dump(settings), end="")


if __name__ == "__main__":
    main()
