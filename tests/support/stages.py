"""The stages of dvc.yaml, and how a test runs them without DVC."""

from collections.abc import Iterable
from pathlib import Path

import yaml

from benchmarks.stages import make_pretrained, read_stages
from tests.support.params import ROOT

PRETRAINED = "pretrained"  # encoders, tokenizers and models of users
# The one value that dvc.yaml takes from params.yaml.
SOURCE = yaml.safe_load((ROOT / "params.yaml").read_text())["ingest"]["root"]
STAGES = read_stages()


def covered(path: str | Path, by: Iterable[str]) -> bool:
    """Return whether a path is among `by`, or below one of them."""
    path = Path(path)
    return any(Path(parent) in (path, *path.parents) for parent in by)


def run_by_hand(names: Iterable[str]) -> None:
    """Run stages in the working directory in this order, as their commands in dvc.yaml say.

    What params.yaml means is written first.
    """
    make_pretrained(Path())
    for name in ("settings", *(name for name in names if name not in ("code", "settings"))):
        row = STAGES[name]
        row.stage.main(row.by_hand)
        assert [out for out in row.outs if not Path(out).exists()] == [], name
