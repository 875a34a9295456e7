"""Training that starts from the champion: `operate.warm_start`.

The champion's folder, with the encoders and the tokenizer that it understands, goes to
pretrained/, params.yaml names them, and `dvc add` keeps them, so that the run is as reproducible
as any other and a clone pulls what it started from.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from components.registry.naming import flatten
from components.store.errors import InputError
from flows.command import run_module
from flows.override import override
from flows.promote import Desk

NAME = "champion"  # of the copies in pretrained/, so that a new champion takes the old one's place
PRETRAINED = Path("pretrained")


def start_from_champion(desk: Desk, params: Path) -> str | None:
    """Let the next training start from the champion; give its version, None if there is none.

    Raises:
        InputError: its files cannot be had, or this version of the code cannot read them.
        Stopped: the desk is stopping.
    """
    version = _champion(desk)
    if version is None:
        return None
    words = ["--model", str(desk.folder(version)), "--name", NAME, "--pretrained", str(PRETRAINED)]
    settings = yaml.safe_load(run_module("components.train.keep", words, desk.stopping))
    override(params, dict(flatten(settings)))
    words = ["--wait-for-lock", "add", "--quiet", *map(str, _kept(settings))]
    run_module("dvc", words, desk.stopping)
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
