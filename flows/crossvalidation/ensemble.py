"""The folds' models as one: registered if it is better on validation than the best of them.

No fold has learnt from the validation samples of the project, since each of them is in the
validation or in the test split of every fold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from components.common.files import read_json
from components.common.metrics import Figures
from components.registry.shown import decisive
from flows.crossvalidation.fold_run import METRICS, FoldRun, bring_up_to_date
from flows.dvc.sandbox import LOCK, Sandbox

MODEL = "models/synesthesia"


@dataclass(frozen=True)
class EnsembleRun:
    """The models of some folds, and a copy of the project that makes one of them.

    The copy has the splits of the project; its stage `train` puts models together.
    """

    folds: Sequence[FoldRun]
    root: str  # folder of the data
    sandbox: Sandbox

    @property
    def names(self) -> list[str]:
        """The models by name."""
        return [f"fold-{run.number}" for run in self.folds]

    def register(self) -> str:
        """Register the ensemble if it is worth it; return what was done, for a person."""
        self._prepare(self.names)
        models = [run.sandbox.path / MODEL for run in self.folds]
        self.sandbox.take_models(dict(zip(self.names, models, strict=True)))
        alone = [self._validated([name]) for name in self.names]
        together = self._validated(self.names)
        name = decisive(together, [])[0]
        metric, value = together.metric(name), together.by_name()[name]
        values = [figures.by_name()[name] for figures in alone]
        best = max(values, key=lambda each: metric.improvement(each, value))
        shown = (
            f"{name} on the validation split: {metric.format(value)}, its members "
            f"{', '.join(map(metric.format, values))}"
        )
        if metric.improvement(value, best) <= 0:
            return f"{shown}. No better than the best of them: nothing is registered"
        self._prepare(self.names)
        self._run("register")
        return f"{shown}. Registered, see above"

    def _validated(self, members: Sequence[str]) -> Figures:
        """Return the figures of some of the models together on the validation split."""
        self._prepare(members, **{"evaluate.split": "validation"})
        self._run("evaluate")
        return Figures(read_json(self.sandbox.path / METRICS))

    def _prepare(self, members: Sequence[str], **settings: object) -> None:
        own = {"ingest.root": str(Path(self.root).resolve()), "train.ensemble": list(members)}
        self.sandbox.refresh(own | settings)

    def _run(self, stage: str) -> None:
        bring_up_to_date(self.sandbox, stage, Path(LOCK), "ensemble", Event())
