"""Settings of flows: the sections `operate` and `promote` of params.yaml."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, model_validator

from components.common.errors import InputError, nearest
from components.common.metrics import task_of
from components.evaluate.comparison.settings import Margins
from components.register.settings import Alias, RegisterSettings
from components.registry import defaults
from components.stage.settings import Positive, Section, Settings, load_settings, matching

PARAMS = Path("params.yaml")


def _cron(text: str) -> str:
    """Check a cron of five fields, and that it has a next time."""
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
Suite = Literal["none", "quick", "full"]

LEARNING = ("seed", "threads", "workers", "preprocess", "features", "align", "model", "train")
SETTABLE = (*LEARNING, "tasks", "evaluate")  # sections that operate.settable may open to runs
RESERVED = ("ingest", "register", "promote", "operate")  # and those that it may not


def _settable(key: str) -> str:
    """Check that runs may be allowed to set a key, which is a section or lies in one."""
    section = key.partition(".")[0]
    if section in RESERVED:
        raise ValueError(
            f"found {key!r}, but no run may set {', '.join(RESERVED)}: they decide which files are "
            "read and moved, which model is the champion and who is told. Remove it, and edit "
            "params.yaml where such a key has to change"
        )
    if section not in SETTABLE:
        raise ValueError(f"found {key!r}. {nearest(section, SETTABLE)}")
    return key


Key = Annotated[
    str,
    matching(r"\w+(\.[\w-]+)*", "a section or a dotted key, as in train.epochs"),
    AfterValidator(_settable),
]


class OperateSettings(Section):
    """What flows do by themselves."""

    timezone: Annotated[str, AfterValidator(_timezone)] = "UTC"
    """Time zone of the two crons, as Europe/Berlin."""
    retrain: Cron | None = None
    """When models are retrained: minute, hour, day of month, month, day of week; null: on
    request."""
    evaluate: Cron | None = None
    """When registered models are tested with every corruption, likewise."""
    retries: Annotated[int, Field(ge=0, le=10)] = 1
    """Retries of a stage that failed for a reason that may pass, as a server that is down."""
    stage_hours: Positive | None = 24.0
    """Time limit of a stage; null: none."""
    notify: Slug | None = None
    """A Prefect block that is told of failed runs, such as slack-webhook/team."""
    fetch: Literal["dvc", "drop"] | None = None
    """Where retraining gets new data: dvc (dvc update and dvc pull), drop (the folder `drop`), or
    null: what is in ingest.root."""
    drop: Folder = "incoming"
    """Folder whose files are moved to the same place in ingest.root."""
    warm_start: bool = False
    """Whether retraining starts from the champion's weights."""
    promote: Literal["automatic", "ask"] = "automatic"
    """automatic: the gates of promote decide about the new model; ask: they are evaluated, and a
    person decides."""
    commit: Branch | None = None
    """Branch that retraining commits what it changed to; null: none."""
    push: bool = False
    """Whether outputs are pushed to DVC's default remote after a run."""
    settable: Annotated[tuple[Key, ...], Field(strict=False)] = LEARNING
    """Sections, or dotted keys, that whoever starts a run may set: docs/operation.md."""


class PromoteSettings(Section):
    """What makes a model the champion (docs/promotion.md); null: no such gate."""

    alias: Alias = defaults.IN_USE
    """Alias of the promoted version."""
    suite: Suite = "quick"
    """Corruptions that models are tested with: none, quick (12, and each modality
    missing) or full."""
    minimum: Mapping[str, float] | None = None
    """Lowest values that pass, by name in reports/metrics.json, slices included, or by what several
    names begin with; of a metric that is better lower, the highest."""
    maximum_drop: Margins | None = None
    """How much worse than the champion the model may be, by name, tested at `confidence`."""
    require: Literal["better", "not_worse"] = "not_worse"
    """better: significantly better than the champion in one of those metrics; not_worse: worse in
    none."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """Confidence level of the tests."""
    maximum_latency_ms: Positive | None = None
    """95th percentile of the time to predict one row of raw media."""
    maximum_size_mb: Positive | None = None
    """Size of the model folder, in 10^6 bytes."""
    maximum_robustness_drop: Margins | None = None
    """How much worse corruptions may make the model on average, by their group (a modality, or
    missing), task and the modalities given."""

    @property
    def tasks_named(self) -> set[str]:
        """The tasks that the gates refer to."""
        bounds = [name for name in self.minimum or () if "/" in name]  # not a metric alone
        gates = (bounds, self.maximum_drop, self.maximum_robustness_drop)
        return {task_of(name) for gate in gates for name in gate or ()}

    @model_validator(mode="after")
    def _has_a_metric_to_be_better_in(self):
        if self.require == "better" and not self.maximum_drop:
            raise ValueError(
                "require is better, but maximum_drop names no metric to be better in. Name one, or "
                "set require: not_worse"
            )
        return self

    @model_validator(mode="after")
    def _robustness_is_measured(self):
        if self.maximum_robustness_drop and self.suite == "none":
            raise ValueError(
                "maximum_robustness_drop is set, but suite is none, so that robustness is not "
                "measured. Set suite: quick, or maximum_robustness_drop: null"
            )
        return self


class _Ingest(Settings):
    root: str  # in dvc.yaml too, so that DVC has to find it in the file


class FlowSettings(Settings):
    """What flows read of params.yaml."""

    ingest: _Ingest
    tasks: Mapping[str, Any]
    register_: RegisterSettings = Field(RegisterSettings(), alias="register")
    promote: PromoteSettings = PromoteSettings()
    operate: OperateSettings = OperateSettings()

    @model_validator(mode="after")
    def _drop_folder_is_apart(self):
        root, drop = Path(self.ingest.root), Path(self.operate.drop)
        nested = root.is_relative_to(drop) or drop.is_relative_to(root)
        if self.operate.fetch == "drop" and nested:
            raise ValueError(
                f"operate.drop ({drop}) and ingest.root ({root}) are inside each other, so that a "
                "dropped file could be read before it is complete. Name another folder"
            )
        return self

    @model_validator(mode="after")
    def _gates_refer_to_tasks(self):
        if odd := sorted(self.promote.tasks_named - self.tasks.keys()):
            raise ValueError(
                f"promote refers to unknown tasks: {', '.join(map(repr, odd))}. "
                f"{nearest(odd[0], list(self.tasks))}"
            )
        return self

    @model_validator(mode="after")
    def _aliases_differ(self):
        if self.promote.alias == self.register_.alias:
            raise ValueError(
                f"register.alias and promote.alias are both {self.promote.alias}, so that every "
                "new model would be the champion. Rename one"
            )
        return self


def read_params(path: Path = PARAMS) -> bytes:
    """Return the content of a parameter file; raise `InputError` if there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is missing. This writes one for your data: python -m components.start DATA. "
            f"Or change to the project's folder: {Path.cwd()} has no {path}"
        ) from error


def flow_settings() -> FlowSettings:
    """Read the settings of flows from the working directory."""
    read_params()
    return load_settings(PARAMS, FlowSettings)
