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

from components.store.errors import InputError
from components.store.files import write_text
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
    text = params.read_text(encoding="utf-8")
    if (changed := changed_settings(text, settings)) != text:
        write_text(params, changed)
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


def changed_settings(text: str, settings: Mapping) -> str:
    """A YAML file with other values at some keys; all else, comments too, stays as it is."""
    places = sorted(_places(yaml.compose(text), settings), reverse=True)
    for start, end, value in places:
        text = f"{text[:start]}{value}{text[end:]}"
    return text


def _places(node: yaml.MappingNode, settings: Mapping) -> Iterator[tuple[int, int, str]]:
    """Where in the text each value stands, and what is to stand there."""
    for key, value in node.value:
        wanted = settings.get(key.value)
        if isinstance(wanted, Mapping):
            yield from _places(value, wanted)
        elif wanted is not None:
            yield value.start_mark.index, value.end_mark.index, wanted


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
