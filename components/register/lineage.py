"""What a model was made from, and where: code, data, settings and environment."""

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import psutil
import torch
import yaml


@dataclass(frozen=True)
class Lineage:
    """The commit, and what DVC tracks.

    Attributes:
        commit: of Git; unknown outside of a repository.
        dirty: whether tracked files differ from it.
        outs: path → hash of every output of the stages that came before.
        hashes: the same, and of all that they read.
        params: stage → the settings that it was made with.
    """

    commit: str
    dirty: bool
    outs: dict[str, str]
    hashes: dict[str, str]
    params: dict[str, dict[str, Any]]

    @classmethod
    def here(cls, lock: Path | None, own: Path) -> "Lineage":
        """Of the working folder; `own` is the output that is about to be made."""
        known = lock is not None and lock.exists()
        stages = yaml.safe_load(lock.read_text())["stages"] if known else {}
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
        """Of a run and of a model version."""
        return {"git_commit": self.commit, "git_dirty": str(self.dirty).lower()}


def git(*words: str) -> str | None:
    """What a git command prints; None if there is no git or no repository."""
    try:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def environment() -> dict[str, Any]:
    """The machine that registers and the versions of all that is installed; nobody's address."""
    devices = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ}
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_megabytes": round(psutil.virtual_memory().total / 1e6),
        "gpus": devices,
        "threads": {"torch": torch.get_num_threads(), **threads},
        "packages": sorted({f"{found.name}=={found.version}" for found in distributions()}),
    }
