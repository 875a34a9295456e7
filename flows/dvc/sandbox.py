"""Copies of the project in which stages run and nothing of the project itself changes.

A copy has its code and settings as they are now, reads its data and pretrained weights where they
are, and shares its DVC cache, so that a stage runs only if what it reads differs.
"""

import logging
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

from dvc.exceptions import DvcException
from dvc.logger import set_loggers_level
from dvc.repo import Repo

from components.common.errors import InputError
from components.common.files import write_text
from components.common.source_code import PACKAGES
from components.stage.progress import PROGRESS_LINES
from flows.params_file import edit
from flows.processes.command import run_command
from flows.settings import PARAMS

FILES = ("dvc.yaml", ".dvcignore", str(PARAMS))
LOCK = "dvc.lock"
PRETRAINED = "pretrained"
LINKS = ["reflink", "hardlink", "copy"]  # of outputs to the cache, in order of preference


class Sandbox:
    """A copy of the project in the working directory.

    Attributes:
        path: its folder.
    """

    def __init__(self, path: Path):
        self.path = path.absolute()

    @property
    def lock(self) -> Path:
        """Its dvc.lock."""
        return self.path / LOCK

    def refresh(self, settings: Mapping[str, Any]) -> None:
        """Copy code and settings, the latter with other values at dotted keys; keep its outputs.

        Raises InputError if the working directory holds no DVC project, or for invalid settings.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / Repo.DVC_DIR).exists():
            self._init_dvc()
        for package in PACKAGES:
            shutil.rmtree(self.path / package, ignore_errors=True)
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(package, self.path / package, ignore=ignored)
        for name in filter(os.path.exists, FILES):
            shutil.copy(name, self.path / name)
        edit(self.path / PARAMS, settings)
        (self.path / PRETRAINED).mkdir(exist_ok=True)
        for folder in Path(PRETRAINED).glob("*/"):
            if not (self.path / folder).exists():
                (self.path / folder).symlink_to(folder.absolute())

    def take_models(self, folders: Mapping[str, Path]) -> None:
        """Put trained models, by name, where `train.ensemble` finds them."""
        home = self.path / PRETRAINED / "model"
        home.unlink() if home.is_symlink() else shutil.rmtree(home, ignore_errors=True)
        for name, folder in folders.items():
            shutil.copytree(folder, home / name)

    def _init_dvc(self) -> None:
        """Make it a DVC project without Git."""
        try:
            with Repo() as repo:
                cache = repo.cache.local_cache_dir
        except DvcException as error:
            raise InputError(str(error)) from error
        with TemporaryDirectory(dir=self.path) as folder, set_loggers_level(logging.WARNING):
            with Repo.init(folder, no_scm=True) as repo, repo.config.edit() as sections:
                config: Any = sections
                config["core"] |= {"analytics": False, "check_update": False}
                config["cache"] |= {"dir": cache, "type": LINKS}
            os.rename(Path(folder, Repo.DVC_DIR), self.path / Repo.DVC_DIR)

    def bring_up_to_date(
        self, stage: str, start: Path, log: Callable[[str], None], stopping: Event
    ) -> int:
        """Run a stage and those that it needs; return the exit code of `flows.dvc.repro`.

        Where nothing ran yet, it starts with the outputs that another dvc.lock names, as far as
        the cache has them.
        """
        if start.exists() and not self.lock.exists():
            write_text(self.lock, start.read_text(encoding="utf-8"))
            outputs = ["dvc", "checkout", "--quiet", "--allow-missing"]
            self._python(outputs, lambda _: None, stopping)
        return self._python(["flows.dvc.repro", stage], log, stopping)

    def _python(self, words: list[str], log: Callable[[str], None], stopping: Event) -> int:
        argv = [sys.executable, "-m", *words]
        own = {PROGRESS_LINES: "", "DVC_ROOT": os.getcwd()}  # whose MLflow store is used
        return run_command(argv, str(self.path), os.environ | own, log, stopping)
