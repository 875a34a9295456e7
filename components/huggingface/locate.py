"""Finds the encoder that a setting names: one of this project or a library, or a pretrained model.

Without torch, whose import takes longer than to preprocess some data sets.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from components.common.errors import InputError, did_you_mean

FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]  # of a repository; no pickles
TIMM = "timm/"  # before the names of timm's models, here and on the Hub
INSTALL = "pip install -e '.[timm]'"
IMPORT = "python -m components.modalities.import_pretrained"
MOST_NAMES = 3  # that are proposed for an unknown one


@dataclass(frozen=True)
class EncoderNames:
    """Names that `features.<modality>.encoder` takes besides those of pretrained models."""

    modality: str
    built_in: tuple[str, ...]  # encoders of this project
    library: Callable[[], Sequence[str]] = tuple  # may import a library for seconds
    library_name: str = ""  # what its names are, for error messages
    has_timm: bool = False  # whether models of timm encode the modality
    importable: tuple[str, ...] = ()  # of models that `import_pretrained` takes from packages

    @property
    def key(self) -> str:
        """The setting."""
        return f"features.{self.modality}.encoder"


def is_pretrained_model(name: str, folder: Path, known: EncoderNames) -> bool:
    """Return whether a setting names a published model; InputError if it names both kinds."""
    if name not in known.built_in and name not in known.library():
        return True
    if (folder / name).is_dir():
        raise InputError(
            f"{known.key}: {name!r} is the name of an encoder that is built here and of the folder "
            f"{folder / name}. Rename the folder"
        )
    return False


def locate(name: str, folder: Path, known: EncoderNames) -> Path:
    """Return the folder of a model of Transformers or timm; InputError if there is none.

    The name is that of a folder in `folder`, the modality's one in pretrained/, or of timm/<name>
    in it; or `package:<module>/<folder>`, a folder of an installed Python package; or name@commit
    on the Hugging Face Hub, fetched once into the library's cache.
    """
    if name.startswith("package:"):
        return _in_package(name, known.key)
    if "@" in name:
        return _from_hub(name, known.key)
    if (folder / name).is_dir():
        return folder / name
    if name in known.importable:
        raise InputError(
            f"{known.key}: {name}: {folder / name} is missing. Make it from a Python package: "
            f"{IMPORT} {name}"
        )
    if known.has_timm and name.startswith(TIMM):
        raise InputError(f"{known.key}: {name}: {_without_folder(name, folder / name)}")
    raise InputError(f"{known.key}: {name!r} is unknown. {_valid_names(name, folder, known)}")


def _in_package(name: str, key: str) -> Path:
    module, _, inner = name.removeprefix("package:").partition("/")
    package = package_folder(module)
    if package is None:
        raise InputError(
            f"{key}: {name}: no Python package {module!r} is installed. Install the one that has it"
        )
    if not (package / inner).is_dir():
        raise InputError(
            f"{key}: {name}: {package / inner} is not a folder. Name one that the package {module} "
            "has"
        )
    return package / inner


def package_folder(module: str) -> Path | None:
    """Return the folder of an installed Python package, without importing it; None if none is."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # the outer of two nested modules
        return None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


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


def _without_folder(name: str, place: Path) -> str:
    """Return how to get the weights of a model of timm, or the names that are nearest to its."""
    try:
        import timm
    except ImportError as error:
        return f"{place} is missing, and timm cannot be imported: {error}. Install it: {INSTALL}"
    architecture = name.removeprefix(TIMM).partition(".")[0]
    if not timm.is_model(architecture):
        return not_in_timm(timm, architecture)
    published = timm.get_pretrained_cfg_value(architecture, "hf_hub_id") or f"{name}.<tag>"
    return (
        f"{place}, the folder of its weights, is missing. Where the Hugging Face Hub can be "
        f"reached: hf download {published} config.json model.safetensors --local-dir {place}; or "
        f"name {published}@<commit>, or package:<module>/<folder>"
    )


def not_in_timm(timm: ModuleType, name: str) -> str:
    """Return that timm has no model of a name, and which names are similar."""
    hint = did_you_mean(name, timm.list_models(), MOST_NAMES)
    return f"timm {timm.__version__} has no model {name!r}. {hint}See timm.list_models()"


def _valid_names(name: str, folder: Path, known: EncoderNames) -> str:
    """Return what the setting can be, the nearest names first."""
    places = [path for path in (*folder.glob("*"), *folder.glob(f"{TIMM}*")) if path.is_dir()]
    folders = sorted(str(path.relative_to(folder)) for path in places if path.name + "/" != TIMM)
    names = [*known.built_in, *known.library(), *folders, *known.importable]
    library = f"{known.library_name}, " if known.library_name else ""
    return (
        f"{did_you_mean(name, names, MOST_NAMES)}Valid here: {', '.join(known.built_in)}, "
        f"{library}a folder in {folder} (found: {', '.join(folders) or 'none'}), name@commit on "
        "the Hugging Face Hub, package:<module>/<folder>"
    )
