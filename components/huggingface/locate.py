"""Where the encoder that a setting names is to be found.

Without torch, whose import takes longer than to preprocess some data sets.
"""

import difflib
import importlib.util
from collections.abc import Callable
from pathlib import Path

from components.common.errors import InputError
from components.modalities.registry import Modality

BUILT_HERE = {  # the encoders of this project; of images there are torchvision's besides
    "image": ("convolutional",),
    "text": ("transformer",),
    "audio": ("convolutional", "patches"),
}
FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]  # of a repository; no pickles


def is_built_here(name: str, folder: Path, modality: Modality) -> bool:
    """Whether the setting `features.<modality>.encoder` names no model of Transformers.

    Args:
        name: the value of the setting.
        folder: of the modality in pretrained/.
        modality: of the setting.

    Raises:
        InputError: it names both.
    """
    if name not in BUILT_HERE[modality] and not (modality == "image" and name in backbones()):
        return False
    if (folder / name).is_dir():
        raise InputError(
            f"features.{modality}.encoder: {name!r} is the name of an encoder that is built here "
            f"and of the folder {folder / name}. Rename the folder"
        )
    return True


def backbones() -> list[str]:
    """The names of torchvision's classification models."""
    from torchvision import models

    return models.list_models(module=models)


def locate(name: str, folder: Path, modality: Modality) -> Path:
    """The folder of a model of Transformers.

    Args:
        name: a folder in `folder`; `package:<module>/<folder>`, one that an installed Python
            package carries; or name@commit on the Hugging Face Hub, from where it is fetched once,
            into the library's own cache.
        folder: of the modality in pretrained/.
        modality: of the setting.

    Raises:
        InputError: it cannot be found.
    """
    key = f"features.{modality}.encoder"
    if name.startswith("package:"):
        return _in_package(name, key)
    if "@" in name:
        return _from_hub(name, key)
    if not (folder / name).is_dir():
        raise InputError(f"{key}: {name!r} is unknown. {_valid(name, folder, modality)}")
    return folder / name


def _in_package(name: str, key: str) -> Path:
    module, _, inner = name.removeprefix("package:").partition("/")
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # of a module within another, the outer one
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"{key}: {name}: no Python package {module!r} is installed. Install the one that has it"
        )
    place = Path(next(iter(spec.submodule_search_locations))) / inner
    if not place.is_dir():
        raise InputError(
            f"{key}: {name}: {place} is no folder. Name one that the package {module} has"
        )
    return place


def _from_hub(name: str, key: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, commit = name.split("@")
    return fetched(
        lambda: Path(snapshot_download(repository, revision=commit, allow_patterns=FILES)),
        f"{key}: {repository} at {commit}",
        f"hf download {repository} --revision {commit} "
        + " ".join(f"--include '{pattern}'" for pattern in FILES),
    )


def fetched(fetch: Callable[[], Path], what: str, command: str) -> Path:
    """Something of the Hugging Face Hub, from its cache or from there.

    Args:
        fetch: gets it.
        what: the setting, and what it names.
        command: leaves it in the cache.

    Raises:
        InputError: it cannot be had.
    """
    try:
        return fetch()
    except Exception as error:  # those of the Hub's network library pass through
        raise InputError(
            f"{what} cannot be had: {error}\nIt is needed in the cache of the Hugging Face Hub "
            f"(HF_HOME), where this leaves it, run where the Hub can be reached: {command}"
        ) from error


def _valid(name: str, folder: Path, modality: Modality) -> str:
    """What the setting can be, the nearest names first."""
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir())
    names = [*BUILT_HERE[modality], *(backbones() if modality == "image" else ()), *folders]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    torchvision = "a classification model of torchvision, " if modality == "image" else ""
    return (
        f"{hint}Valid here: {', '.join(BUILT_HERE[modality])}, {torchvision}a folder in {folder} "
        f"(found: {', '.join(folders) or 'none'}), name@commit on the Hugging Face Hub, "
        "package:<module>/<folder>"
    )
