"""Training that starts from the champion: `operate.warm_start`.

The champion's folder, with the encoders and the tokenizer that it understands, goes to
pretrained/, params.yaml names them, and `dvc add` keeps them, so that the run is as reproducible
as any other and a clone pulls what it started from.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from components.common.errors import InputError
from components.registry.naming import flatten
from flows.command import run_component
from flows.override import override
from flows.promote import Desk
from flows.remote import dvc

NAME = "champion"  # of the copies in pretrained/, so that a new champion takes the old one's place
PRETRAINED = Path("pretrained")


def start_from_champion(desk: Desk, params: Path) -> str | None:
    """In a flow: let the next training start from the champion; give its version, if there is one.

    Raises:
        InputError: its files cannot be had, or this version of the code cannot read them.
        DvcFailed: DVC could not keep them.
        Stopped: the desk is stopping.
    """
    version = _champion(desk)
    if version is None:
        return None
    words = ["--model", str(desk.folder(version)), "--name", NAME, "--pretrained", str(PRETRAINED)]
    settings = yaml.safe_load(
        run_component("components.train.export_pretrained", words, desk.stopping)
    )
    override(params, dict(flatten(settings)))
    dvc(desk.stopping, "add", *map(str, _kept(settings)))
    return version


def _champion(desk: Desk) -> str | None:
    try:
        return desk.log.champion()
    except InputError:  # nothing was ever registered
        return None


def _kept(settings: Mapping) -> Iterator[Path]:
    """What the settings name."""
    yield PRETRAINED / "model" / settings["train"]["start"]
    for modality, section in settings["features"].items():
        yield PRETRAINED / modality / section["pretrained"]
    if "preprocess" in settings:
        yield PRETRAINED / "text" / settings["preprocess"]["text"]["tokenizer"]
