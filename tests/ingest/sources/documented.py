"""Examples of docs/sources.md."""

import re

import yaml
from pydantic import TypeAdapter

from components.ingest.settings import IngestSettings
from components.tasks.registry import Tasks
from components.tasks.settings import TaskSettings
from tests.support.params import ROOT

SOURCES = ROOT / "docs" / "sources.md"


def chapter(title: str) -> str:
    """Return the text below a heading, up to the next heading."""
    pattern = rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)"
    return re.search(pattern, SOURCES.read_text(), re.M | re.S)[1]


def blocks(title: str) -> list[dict]:
    """Return the settings that a chapter shows, in order."""
    return [yaml.safe_load(b) for b in re.findall(r"```yaml\n(.*?)```", chapter(title), re.S)]


def documented(title: str, place: int = 0) -> IngestSettings:
    """Return a section `ingest` of a chapter, the first one unless `place` says otherwise."""
    found = [block["ingest"] for block in blocks(title) if "ingest" in block]
    return IngestSettings.model_validate(found[place])


def documented_tasks(title: str) -> list[TaskSettings]:
    """Return the tasks of a chapter."""
    found = {name: task for block in blocks(title) for name, task in block.get("tasks", {}).items()}
    assert found, title
    return list(TypeAdapter(Tasks).validate_python(found).values())
