"""Training that starts from the champion: `operate.warm_start`.

The champion's folder, its encoders and what its processors need go to pretrained/, params.yaml
names them, and `dvc add` tracks them, so that the run is as reproducible as any other and a clone
pulls what it started from.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from components.common.nested import flatten
from flows.dvc.remote import dvc
from flows.params_file import edit
from flows.processes.command import run_component
from flows.promotion.registered_model import RegisteredModel
from flows.settings import PARAMS

NAME = "champion"  # of the copies in pretrained/, so that a new champion replaces the old one
PRETRAINED = Path("pretrained")


def start_from_champion(model: RegisteredModel) -> str | None:
    """In a flow, let the next training start from the champion; return its version if there is one.

    Raises InputError if its files are not available or this version of the code cannot read them.
    """
    version = model.log.champion() if model.versions.exists() else None
    if version is None:
        return None
    folder = str(model.model_folder(version))
    words = ["--model", folder, "--name", NAME, "--pretrained", str(PRETRAINED)]
    printed = run_component("components.train.export_pretrained", words, model.stopping)
    settings = yaml.safe_load(printed)
    edit(PARAMS, dict(flatten(settings)))
    dvc(model.stopping, "add", *map(str, _tracked(settings)))
    return version


def _tracked(settings: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the files in pretrained/ that the settings name."""
    yield PRETRAINED / "model" / settings["train"]["warm_start"]
    for section in ("features", "preprocess"):
        for modality, names in settings.get(section, {}).items():
            yield from (PRETRAINED / modality / name for name in names.values())
