"""What a model was made from, and where: code, data, settings and environment."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import torch
import yaml
from yaml import CSafeLoader  # ten times as fast; dvc.lock is long

from components.common.hashing import file_hash
from components.data.samples import SPLIT, SPLITS, asset_column
from components.modalities.registry import MODALITIES

FIRST_ROWS = 100  # from which MLflow infers the types of a table


@dataclass(frozen=True)
class Lineage:
    """The commit, and what DVC tracks."""

    commit: str  # of Git; `unknown` outside a repository
    dirty: bool  # whether tracked files differ from it
    outs: dict[str, str]  # path → hash of every output of the earlier stages
    hashes: dict[str, str]  # the same, and of every dependency
    params: dict[str, dict[str, Any]]  # stage → its settings

    @classmethod
    def here(cls, lock: Path, own: Path) -> "Lineage":
        """Return that of the working folder; `own` is the output that is about to be made."""
        stages = yaml.load(lock.read_text(), CSafeLoader)["stages"] if lock.exists() else {}
        outs, deps = (
            {path["path"]: path["md5"] for stage in stages.values() for path in stage.get(part, [])}
            for part in ("outs", "deps")
        )
        outs.pop(str(own), None)
        return cls(
            commit=git("rev-parse", "HEAD") or "unknown",
            dirty=bool(git("status", "--porcelain", "--untracked-files=no")),
            outs=outs,
            hashes=deps | outs,
            params={
                name: {
                    k: v for values in stage.get("params", {}).values() for k, v in values.items()
                }
                for name, stage in stages.items()
            },
        )

    def tags(self) -> dict[str, str]:
        """Return tags of a run and of a model version."""
        return {"git_commit": self.commit, "git_dirty": str(self.dirty).lower()}


def git(*words: str) -> str | None:
    """Return what a git command prints; None if there is no git or no repository."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def environment() -> dict[str, Any]:
    """Describe this machine and the versions of installed packages, without any addresses."""
    threads = {k: v for k, v in os.environ.items() if k == "OMP_NUM_THREADS"}
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_megabytes": round(psutil.virtual_memory().total / 1e6),
        "gpus": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())],
        "threads": {"torch": torch.get_num_threads(), **threads},
        "packages": sorted({f"{found.name}=={found.version}" for found in distributions()}),
    }


def datasets(path: Path, samples: pd.DataFrame, media: Path, hashes: Mapping[str, str]) -> list:
    """Return one dataset of MLflow per split of the samples and one per modality.

    Those without a hash of DVC's in `hashes`, by path, have a hash of the content.
    """
    from mlflow.models import infer_signature

    columns = infer_signature(_some_rows(samples)).inputs.to_dict()
    schema = json.dumps({"mlflow_colspec": columns})
    inputs = []
    for split in SPLITS:
        rows = samples[samples[SPLIT] == split]
        assets = {f"{m}_assets": int(rows[asset_column(m)].nunique()) for m in MODALITIES}
        counts = {"num_rows": len(rows), **assets}
        context = "training" if split == "train" else split  # MLflow's words
        inputs.append(_input(f"samples, {split}", context, path, hashes, counts, schema))
    for m in MODALITIES:
        counts = {"num_rows": int(samples[asset_column(m)].nunique())}
        inputs.append(_input(f"media, {m}", "media", media / m, hashes, counts))
    return inputs


def _some_rows(samples: pd.DataFrame) -> pd.DataFrame:
    """Return the first rows, and for each column the first with a value and the first without.

    Their types are those of all, at which MLflow looks value by value.
    """
    empty = samples.isna().to_numpy()  # [n, columns]
    first = [mask.argmax() for part in (empty, ~empty) for mask in part.T if mask.any()]
    return samples.iloc[sorted({*range(min(FIRST_ROWS, len(samples))), *map(int, first)})]


def _input(name, context, path: Path, hashes, counts: dict[str, int], schema=None):
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digest = hashes.get(str(path)) or file_hash(path)
    source = json.dumps({"path": str(path), "hash": digest})
    dataset = Dataset(name, digest, "dvc", source, schema, json.dumps(counts))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
