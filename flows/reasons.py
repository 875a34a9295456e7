"""Why a stage has to run, in words."""

from pathlib import Path

from dvc.stage import PipelineStage, Stage
from dvc.utils.serialize import load_yaml

REASONS = 3  # that are spelt out


def lockfile(stage: PipelineStage) -> Path:
    return Path(stage.path).with_suffix(".lock")


def recorded(stage: Stage) -> bool:
    if not isinstance(stage, PipelineStage):
        return True
    path = lockfile(stage)
    return path.exists() and stage.name in load_yaml(path).get("stages", {})


def explain(stage: Stage) -> str:
    """Why the stage must run, in words; empty if nothing changed."""
    if stage.cmd and not recorded(stage):
        return "not run before"
    reasons = []
    for entry in stage.status().get(stage.addressing, []):
        if isinstance(entry, str):  # "changed command", "always changed"
            reasons.append(entry)
            continue
        for kind, changes in entry.items():
            prefix = "output " if kind == "changed outs" else ""
            reasons += [
                text for path, what in changes.items() for text in _words(prefix + path, what)
            ]
    more = len(reasons) - REASONS
    return "; ".join(reasons[:REASONS] + ([f"and {more} more"] if more > 0 else []))


def _words(path: str, what: str | dict[str, str]) -> list[str]:
    if isinstance(what, dict):  # parameters of a file
        return [f"{path}: {key} {_plain(change)}" for key, change in what.items()]
    return [f"{path} {_plain(what)}"]


def _plain(change: str) -> str:
    return {"deleted": "missing", "modified": "changed"}.get(change, change)
