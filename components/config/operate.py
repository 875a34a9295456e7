"""The section `operate`: what flows do by themselves, and when."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from components.stage.section import Positive, Section, matching


def _cron(text: str) -> str:
    """A cron of five fields that comes true some day."""
    try:
        next(CronSim(text, datetime.now(UTC)))
    except (CronSimError, StopIteration) as error:
        reason = str(error).lower() or "no such day"
        raise ValueError(
            f"found {text!r} ({reason}), expected minute, hour, day of month, month and day of "
            "week, as in 0 2 * * * for every night at two; or null"
        ) from error
    return text


def _timezone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"found {name!r}, expected a time zone's name as in Europe/Berlin or UTC")
    return name


Cron = Annotated[str, AfterValidator(_cron)]
Folder = Annotated[
    str, matching(r"\w[\w.-]*(/\w[\w.-]*)*", "a folder in the project, as in incoming")
]
Branch = Annotated[
    str, matching(r"\w[\w-]*([./]\w[\w-]*)*", "the name of a Git branch, as in retrained")
]
Slug = Annotated[
    str, matching(r"[a-z0-9-]+/[a-z0-9-]+", "type and name of a block, as in slack-webhook/team")
]


class OperateSettings(Section):
    """When flows start by themselves, how patient they are, and what they do with results."""

    timezone: Annotated[str, AfterValidator(_timezone)]
    retrain: Cron | None
    evaluate: Cron | None
    retries: Annotated[int, Field(ge=0, le=10)]
    stage_hours: Positive | None
    notify: Slug | None
    fetch: Literal["dvc", "drop"] | None
    drop: Folder
    warm_start: bool
    promote: Literal["automatic", "ask"]
    commit: Branch | None
    push: bool
