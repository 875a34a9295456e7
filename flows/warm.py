"""Training that starts from the champion: `operate.warm_start`.

The champion's folder, with the encoders and the tokenizer that it understands, goes to
pretrained/, params.yaml names them, and `dvc add` keeps them, so that the run is as reproducible
as any other and a clone pulls what it started from.
"""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from components.registry.naming import flatten
from components.store.errors import InputError
from flows.override import override
from flows.promote import Desk

NAME = "champion"  # of the copies in pretrained/, so that a new champion takes the old one's place
PRETRAINED = Path("pretrained")


def start_from_champion(desk: Desk, params: Path) -> str | None:
    """Let the next training start from the champion; give its version, None if there is none.

    Raises:
        InputError: its files cannot be had, or this version of the code cannot read them.
    """
    version = _champion(desk)
    if version is None:
        return None
    words = ["--model", str(desk.folder(version)), "--name", NAME, "--pretrained", str(PRETRAINED)]
    settings = yaml.safe_load(_run("components.train.keep", *words))
    override(params, dict(flatten(settings)))
    _run("dvc", "--wait-for-lock", "add", "--quiet", *map(str, _kept(settings)))
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


def _run(module: str, *words: str) -> str:
    """What `python -m module` prints.

    Raises:
        InputError: it ended with code 2 or, of DVC, any but 0.
    """
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{module}: {done.stderr.strip().rpartition('rror: ')[2]}")
    return done.stdout
