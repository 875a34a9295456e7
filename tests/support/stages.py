"""The stages of dvc.yaml, each with its command as the stage's own module reads it."""

import importlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from components.modalities.registry import MODALITIES
from components.stage.arguments import Arguments, parse_arguments
from components.stage.stage import Stage
from tests.support.params import ROOT

PRETRAINED = "pretrained"  # encoders, tokenizers and models of users
# The one value that dvc.yaml takes from params.yaml.
SOURCE = yaml.safe_load((ROOT / "params.yaml").read_text())["ingest"]["root"]
DVC_YAML = yaml.safe_load((ROOT / "dvc.yaml").read_text().replace("${ingest.root}", SOURCE))[
    "stages"
]


@dataclass(frozen=True)
class Row:
    """One stage of dvc.yaml.

    Attributes:
        name: of the stage.
        module: that its command runs.
        words: options of its command.
        deps: paths.
        params: keys.
        outs: paths of outs, metrics and plots.
    """

    name: str
    module: str
    words: tuple[str, ...]
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]

    @property
    def command(self) -> tuple[str, ...]:
        """The words after `python -m`."""
        return (self.module, *self.words)

    @property
    def main_module(self) -> str:
        """The module whose code `python -m` runs."""
        package = (ROOT / self.module.replace(".", "/")).is_dir()
        return f"{self.module}.__main__" if package else self.module

    @property
    def stage(self) -> Stage:
        """The module's `STAGE`."""
        return importlib.import_module(self.main_module).STAGE

    @property
    def arguments(self) -> Arguments:
        """The command line, parsed."""
        return parse_arguments(self.stage.arguments, None, list(self.words))

    @property
    def code(self) -> tuple[str, ...]:
        """The deps that are files or folders of the project's code."""
        return tuple(dep for dep in self.deps if dep.startswith("components"))

    @property
    def data(self) -> tuple[str, ...]:
        """The other deps."""
        return tuple(dep for dep in self.deps if not dep.startswith("components"))

    @property
    def plugins(self) -> dict[str, list[str]]:
        """Plug-ins that the command can load, where it names one."""
        if "--modality" not in self.words:
            return {}
        return {"components.modalities": [self.words[self.words.index("--modality") + 1]]}


def read_row(name: str) -> Row:
    """Return a stage of dvc.yaml."""
    row = DVC_YAML[name]
    python, flag, module, *words = shlex.split(row["cmd"])
    assert (python, flag) == ("python", "-m")
    outs = [*row.get("outs", []), *row.get("metrics", []), *row.get("plots", [])]
    return Row(
        name=name,
        module=module,
        words=tuple(words),
        deps=tuple(row["deps"]),
        params=tuple(key for keys in row.get("params", []) for key in next(iter(keys.values()))),
        outs=tuple(out if isinstance(out, str) else next(iter(out)) for out in outs),
    )


STAGES = {name: read_row(name) for name in DVC_YAML}


def covered(path: str | Path, by: tuple[str, ...]) -> bool:
    """Return whether a path is among `by`, or below one of them."""
    path = Path(path)
    return any(Path(parent) in (path, *path.parents) for parent in by)


def run_by_hand(names: Iterable[str]) -> None:
    """Run stages in the working directory in this order, as their commands in dvc.yaml say.

    What params.yaml means is written first.
    """
    for kind in (*MODALITIES, "model"):
        (Path(PRETRAINED) / kind).mkdir(parents=True, exist_ok=True)
    for name in ("settings", *(name for name in names if name != "settings")):
        row = STAGES[name]
        row.stage.main(list(row.words))
        assert [out for out in row.outs if not Path(out).exists()] == [], name
