"""Finds the encoder that a setting names: one of this project or a library, or a pretrained model.

Without torch, whose import takes longer than to preprocess some data sets.
"""

import difflib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.common.errors import InputError

FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]  # of a repository; no pickles


@dataclass(frozen=True)
class EncoderNames:
    """Names that `features.<modality>.encoder` takes besides those of pretrained models."""

    modality: str
    built_in: tuple[str, ...]  # encoders of this project
    library: Callable[[], Sequence[str]] = tuple  # may import a library for seconds
    library_name: str = ""  # what its names are, for error messages

    @property
    def key(self) -> str:
        """The setting."""
        return f"features.{self.modality}.encoder"


def is_pretrained_model(name: str, folder: Path, known: EncoderNames) -> bool:
    """Return whether a setting names a model of Transformers; InputError if it names both kinds."""
    if name not in known.built_in and name not in known.library():
        return True
    if (folder / name).is_dir():
        raise InputError(
            f"{known.key}: {name!r} is the name of an encoder that is built here and of the folder "
            f"{folder / name}. Rename the folder"
        )
    return False


def locate(name: str, folder: Path, known: EncoderNames) -> Path:
    """Return the folder of a model of Transformers; InputError if there is none.

    The name is that of a folder in `folder`, the modality's one in pretrained/; or
    `package:<module>/<folder>`, a folder of an installed Python package; or name@commit on the
    Hugging Face Hub, fetched once into the library's cache.
    """
    if name.startswith("package:"):
        return _in_package(name, known.key)
    if "@" in name:
        return _from_hub(name, known.key)
    if not (folder / name).is_dir():
        raise InputError(f"{known.key}: {name!r} is unknown. {_valid_names(name, folder, known)}")
    return folder / name


def _in_package(name: str, key: str) -> Path:
    module, _, inner = name.removeprefix("package:").partition("/")
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # the outer of two nested modules
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"{key}: {name}: no Python package {module!r} is installed. Install the one that has it"
        )
    place = Path(next(iter(spec.submodule_search_locations))) / inner
    if not place.is_dir():
        raise InputError(
            f"{key}: {name}: {place} is not a folder. Name one that the package {module} has"
        )
    return place


def _from_hub(name: str, key: str) -> Path:
    from huggingface_hub import snapshot_download

    repository, commit = name.split("@")
    patterns = " ".join(f"--include '{pattern}'" for pattern in FILES)
    return fetched(
        lambda: Path(snapshot_download(repository, revision=commit, allow_patterns=FILES)),
        f"{key}: {repository} at {commit}",
        f"hf download {repository} --revision {commit} {patterns}",
    )


def fetched(fetch: Callable[[], Path], what: str, command: str) -> Path:
    """Fetch from the Hugging Face Hub; if not, InputError with the `command` to fill its cache."""
    try:
        return fetch()
    except Exception as error:  # those of the Hub's network library pass through
        raise InputError(
            f"{what} cannot be fetched: {error}\nPut it into the cache of the Hugging Face Hub "
            f"(HF_HOME) where the Hub can be reached: {command}"
        ) from error


def _valid_names(name: str, folder: Path, known: EncoderNames) -> str:
    """Return what the setting can be, the nearest names first."""
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir())
    names = [*known.built_in, *known.library(), *folders]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    library = f"{known.library_name}, " if known.library_name else ""
    return (
        f"{hint}Valid here: {', '.join(known.built_in)}, {library}a folder in {folder} "
        f"(found: {', '.join(folders) or 'none'}), name@commit on the Hugging Face Hub, "
        "package:<module>/<folder>"
    )
