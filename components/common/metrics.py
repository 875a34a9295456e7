"""What a figure means: whether more is better, its unit, and whether models are compared by it.

Files of figures carry the definitions of their metrics as a list under the key `definitions`; DVC
shows numbers in mappings and passes over lists. Under `split` they name the split that they are of.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from components.common.nested import paths

PROBABILITY_THRESHOLD = 0.5  # a class with a higher probability is predicted
DEFINITIONS = "definitions"
EVALUATED_SPLIT = "split"
SLICES = "slices"  # figures by task, column, value and subset: those of the task's primary metric

Unit = Literal["fraction", "label", "standard deviations", "rank", "score", "loss"]


@dataclass(frozen=True)
class Metric:
    """Definition of a metric.

    Attributes:
        unit: a `fraction` of 1 is shown in per cent, `label` is the unit of the task's labels.
        primary: whether it is the metric of its task by which models are compared.
    """

    name: str
    higher_is_better: bool = True
    unit: Unit = "fraction"
    primary: bool = False

    def format(self, value: float) -> str:
        """Return a value as a person reads it."""
        return f"{value:.2%}" if self.unit == "fraction" else f"{value:.4g}"

    def improvement(self, value: float, reference: float) -> float:
        """Return by how much a value is better than a reference, negative if it is worse."""
        return value - reference if self.higher_is_better else reference - value


class Figures:
    """The parsed content of a file of figures: metric → task → subset → value, and definitions."""

    def __init__(self, content: Mapping[str, Any]):
        self.content = content
        self.metrics = {row["name"]: Metric(**row) for row in content[DEFINITIONS]}

    @property
    def split(self) -> str:
        """The split whose samples the figures are of."""
        return self.content[EVALUATED_SPLIT]

    def by_name(self) -> dict[str, float]:
        """Return figures by name, as `accuracy/answer/image-text`.

        Of two that have one name, since a label or a column has a slash, the second has `:2f:`.
        """
        others = (DEFINITIONS, EVALUATED_SPLIT)
        figures = {key: value for key, value in self.content.items() if key not in others}
        named: dict[str, float] = {}
        for path, value in paths(figures):
            name = "/".join(path)
            if name in named:
                name = "/".join(part.replace("/", ":2f:") for part in path)
            named[name] = value
        return named

    def primary(self, task: str) -> Metric | None:
        """Return the primary metric of a task; None if there are no figures of it."""
        found = (self.metrics[name] for name, tasks in self.tables() if task in tasks)
        return next((metric for metric in found if metric.primary), None)

    def metric(self, name: str) -> Metric:
        """Return the metric of a figure by the figure's name; that of a slice is the primary one.

        Raise `KeyError` if there is no such metric.
        """
        first, _, rest = name.partition("/")
        if first != SLICES:
            return self.metrics[first]
        primary = self.primary(rest.partition("/")[0])
        if primary is None:
            raise KeyError(name)
        return primary

    def tables(self) -> Iterator[tuple[str, Mapping[str, Mapping[str, float]]]]:
        """Yield each defined metric's name with its values by task and subset, if it has any."""
        for name in self.metrics:
            if self.content.get(name):
                yield name, self.content[name]


def task_of(name: str) -> str:
    """Return the task that a figure such as `accuracy/answer/image` or one of a slice is of."""
    return name.partition("/")[2].partition("/")[0]


def definitions(metrics: Iterable[Metric]) -> list[dict[str, Any]]:
    """Return metrics as a file of figures holds them, each once."""
    return [asdict(metric) for metric in dict.fromkeys(metrics)]
