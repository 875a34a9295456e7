"""The stages of dvc.yaml, each with its command read as the stage's own module reads it."""

import importlib
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from components.modalities.registry import MODALITIES

from tests.shrunk import ROOT, shipped

PRETRAINED = "pretrained"  # a user's encoders, tokenizer and models
SOURCE = shipped()["ingest"]["root"]  # the one value that dvc.yaml takes from params.yaml
DVC_YAML = yaml.safe_load((ROOT / "dvc.yaml").read_text().replace("${ingest.root}", SOURCE))[
    "stages"
]


@dataclass(frozen=True)
class Row:
    """One stage of dvc.yaml.

    Attributes:
        name: of the stage.
        module: what its command runs.
        options: option name → value in its command.
        deps: paths.
        params: keys.
        outs: paths of outs, metrics and plots.
    """

    name: str
    module: str
    options: dict[str, str]
    deps: tuple[str, ...]
    params: tuple[str, ...]
    outs: tuple[str, ...]

    @property
    def stage(self):
        """The module's `STAGE`."""
        return importlib.import_module(self.import_name).STAGE

    @property
    def words(self) -> list[str]:
        """What follows `python -m`: the module and its options."""
        return [
            self.module,
            *(w for name, value in self.options.items() for w in (f"--{name}", value)),
        ]

    @property
    def import_name(self) -> str:
        """The module whose code `python -m` runs."""
        package = (ROOT / self.module.replace(".", "/")).is_dir()
        return f"{self.module}.__main__" if package else self.module


def read_row(name: str) -> Row:
    """A stage of dvc.yaml."""
    row = DVC_YAML[name]
    python, flag, module, *words = shlex.split(row["cmd"])
    assert (python, flag) == ("python", "-m")
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert all(option.startswith("--") for option in options)
    outs = [*row.get("outs", []), *row.get("metrics", []), *row.get("plots", [])]
    return Row(
        name=name,
        module=module,
        options={option.removeprefix("--"): value for option, value in options.items()},
        deps=tuple(row["deps"]),
        params=tuple(row["params"]),
        outs=tuple(out if isinstance(out, str) else next(iter(out)) for out in outs),
    )


STAGES = {name: read_row(name) for name in DVC_YAML}


def covered(path: str | Path, by: tuple[str, ...]) -> bool:
    """Whether a path is among `by`, or below one of them."""
    path = Path(path)
    return any(Path(parent) in (path, *path.parents) for parent in by)


def run_by_hand(names: Iterable[str], patch: pytest.MonkeyPatch) -> None:
    """Run stages in the working directory, in this order, each as its line in dvc.yaml says."""
    for kind in (*MODALITIES, "model"):
        (Path(PRETRAINED) / kind).mkdir(parents=True, exist_ok=True)
    for name in names:
        row = STAGES[name]
        module = importlib.import_module(row.import_name)
        patch.setattr(sys, "argv", row.words)
        module.STAGE.run(module.work)
        assert [out for out in row.outs if not Path(out).exists()] == [], name
