"""Settings of a run, as `KEY=VALUE`: those that `operate.settable` lists, and no others.

They are written to params.yaml, as an edit by hand is, so that they hold for later runs too.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.errors import InputError, refuse
from components.common.files import write_text
from components.common.nested import flatten
from components.modalities.settings import ELSEWHERE
from components.stage.settings import load_settings, parse_yaml
from flows.params_file import edited, parse_assignments
from flows.settings import FlowSettings

ABSENT = "–"  # a setting that the old or the new kind of a choice does not have


@dataclass(frozen=True)
class Change:
    """A setting whose value is another than before, defaults included."""

    key: str
    before: str
    after: str


def set_for_run(path: Path, assignments: Sequence[str]) -> list[Change]:
    """Write settings into a parameter file; return what changed. Raises as `check_for_run` does."""
    text, changes = check_for_run(path, assignments)
    if text != path.read_text(encoding="utf-8"):
        write_text(path, text)
    return changes


def check_for_run(path: Path, assignments: Sequence[str]) -> tuple[str, list[Change]]:
    """Return the content that a parameter file would have, and what would change.

    Raises InputError if a key is not settable, a value is invalid, or one names weights or a
    tokenizer outside pretrained/.
    """
    values = parse_assignments(assignments)
    text = edited(path, values)
    settable = load_settings(path, FlowSettings).operate.settable
    _refuse_reserved(values, settable)
    changes = list(_changes(_meaning(path.read_text(encoding="utf-8"), path), _meaning(text, path)))
    # Two keys of the file can be one value, by an anchor of YAML.
    _refuse_reserved([change.key for change in changes], settable)
    for change in changes:
        if re.fullmatch(ELSEWHERE, change.after):
            raise InputError(
                f"{change.key}: found {change.after}, but a run may only name what is in "
                "pretrained/. Write it into params.yaml by hand, or put a copy there"
            )
    return text, changes


def _refuse_reserved(keys: Sequence[str] | dict[str, Any], settable: Sequence[str]) -> None:
    """Raise InputError unless each key is an entry of `settable` or lies under one."""
    parents = tuple(f"{entry}." for entry in settable)
    refuse(
        [key for key in keys if not f"{key}.".startswith(parents)],
        f"not settable by a run. operate.settable in params.yaml lists what is: "
        f"{', '.join(settable) or 'nothing'}. Edit params.yaml by hand",
    )


def _meaning(text: str, path: Path) -> dict[str, Any]:
    """Return the settings in a file, with the defaults of those that stages read."""
    from components.settings.pipeline import resolved  # here, as it takes a second

    content = parse_yaml(text.encode(), path)
    return {**content, **resolved(content)}


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    old, new = dict(flatten(before)), dict(flatten(after))
    for key in dict.fromkeys([*old, *new]):
        found, now = (_plain(values[key]) if key in values else ABSENT for values in (old, new))
        if found != now:
            yield Change(key, found, now)


def _plain(value: Any) -> str:
    """Return a leaf as YAML has it."""
    return value if isinstance(value, str) else json.dumps(value)
