"""The section `promote`: what a model must show before it takes the champion's place."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.stage.section import Positive, Section

Drop = Annotated[float, Field(ge=0)]
Suite = Literal["none", "quick", "full"]
Alias = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]


class PromoteSettings(Section):
    """The gates; one that is null is not applied."""

    alias: Alias
    suite: Suite
    minimum: dict[str, float] | None
    maximum_drop: dict[str, Drop] | None
    require: Literal["better", "not_worse"]
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    maximum_latency_ms: Positive | None
    maximum_size_mb: Positive | None
    maximum_robustness_drop: dict[str, Drop] | None

    @property
    def tasks_named(self) -> set[str]:
        """The tasks that the gates are about."""
        gates = (self.minimum, self.maximum_drop, self.maximum_robustness_drop)
        return {name.partition("/")[2].partition("/")[0] for gate in gates for name in gate or ()}

    @model_validator(mode="after")
    def _better_in_something(self):
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
                "maximum_robustness_drop is set, but suite is none, so that nothing is made worse. "
                "Set suite: quick, or maximum_robustness_drop: null"
            )
        return self
