"""Export a trained model, its encoders and tokenizers to where settings may name them."""

import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from components.common import command_line
from components.common.errors import InputError
from components.common.files import replacing
from components.huggingface.encoder_file import save_encoder
from components.modalities.registry import processing_of
from components.model.folder import WEIGHTS, load_model, load_processor_states
from components.stage.stage import exit_codes
from components.train.settings import FOLDER


def export_pretrained(folder: Path, name: str, pretrained: Path) -> dict[str, Any]:
    """Copy a model's folder, its encoders and tokenizers to `pretrained`.

    Return the settings that name the copies, nested as in params.yaml. Raise `InputError` if the
    folder holds no model of this version, or the name is not valid.
    """
    if not re.fullmatch(FOLDER, name):
        raise InputError(
            f"--name: found {name!r}, expected letters, digits, _, . and -, the first a letter, a "
            "digit or _"
        )
    model = load_model(folder)
    if model.config.members > 1:
        raise InputError(
            f"{folder} is an ensemble of {model.config.members} models, and training starts from "
            "one. Set operate.warm_start: false, or promote a single model"
        )
    states = load_processor_states(folder, model)
    settings: dict[str, Any] = {"features": {}, "train": {"warm_start": name}}
    for m in model.config.modalities:
        file = pretrained / m / f"{name}.safetensors"
        heads, tasks = model.expert(m), model.config.tasks
        known = {n: tasks[n].model_dump(include={"kind", "vocabulary"}) for _, n in heads}
        save_encoder(file, model.encoders[m], model.config.descriptions.get(m), heads, known)
        settings["features"][m] = {"pretrained": file.name}
        if inputs := processing_of(m).export(states[m], pretrained / m, name):
            settings.setdefault("preprocess", {})[m] = inputs
    target = pretrained / "model" / name
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    # Weights come last, so that a folder with weights is complete.
    for file in sorted(files, key=lambda path: path.name == WEIGHTS):
        with replacing(target / file) as temporary:
            shutil.copyfile(folder / file, temporary)
    return settings


def main() -> None:
    """Export a model and print the settings that continue from it."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/synesthesia"), help="its folder")
    parser.add_argument("--name", required=True, help="of the copies, as champion")
    parser.add_argument("--pretrained", type=Path, default=Path("pretrained"), help="folder")
    arguments = parser.parse_args()
    with exit_codes():
        settings = export_pretrained(arguments.model, arguments.name, arguments.pretrained)
        print(yaml.safe_dump(settings), end="")


if __name__ == "__main__":
    main()
