"""An ensemble is registered only if it is better than the best of its members."""

import json
from pathlib import Path

import pytest

from flows.crossvalidation.ensemble import EnsembleRun
from flows.crossvalidation.fold_run import METRICS, FoldRun
from flows.dvc.sandbox import Sandbox
from tests.flows.crossvalidation.folds import fold


class FakeSandbox(Sandbox):
    """A copy in which figures are those of the members named, and nothing runs."""

    def __init__(self, path: Path, accuracy: dict[tuple[str, ...], float]):
        super().__init__(path)
        self.accuracy, self.settings, self.ran = accuracy, {}, []

    def refresh(self, settings):
        self.settings = settings

    def take_models(self, folders):
        self.models = folders

    def bring_up_to_date(self, stage, start, log, stopping):
        self.ran.append((stage, self.settings.get("evaluate.split")))
        made = fold(self.accuracy[tuple(self.settings["train.ensemble"])])
        path = self.path / METRICS
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(made.figures.content))
        return 0


@pytest.fixture
def ensemble(tmp_path):
    """An ensemble of two folds with accuracies of both together, and of each alone."""

    def make(together: float, *alone: float) -> EnsembleRun:
        names = [f"fold-{number}" for number in range(1, len(alone) + 1)]
        accuracy = {(name,): value for name, value in zip(names, alone, strict=True)}
        runs = [FoldRun(number, len(alone), tmp_path) for number in range(1, len(alone) + 1)]
        copy = FakeSandbox(tmp_path / "ensemble", accuracy | {tuple(names): together})
        return EnsembleRun(runs, "source", copy)

    return make


def test_better_one_is_registered(ensemble, tmp_path):
    run = ensemble(0.9, 0.8, 0.85)
    assert "90.00%, its members 80.00%, 85.00%. Registered" in run.register()
    assert run.sandbox.ran == [("evaluate", "validation")] * 3 + [("register", None)]
    assert run.sandbox.settings == {
        "ingest.root": str(Path("source").resolve()),
        "train.ensemble": ["fold-1", "fold-2"],
    }
    assert run.sandbox.models["fold-2"] == tmp_path / "fold-2/models/synesthesia"


@pytest.mark.parametrize("together", [0.85, 0.84])
def test_other_one_is_not(ensemble, together):
    run = ensemble(together, 0.8, 0.85)
    assert "No better than the best of them: nothing is registered" in run.register()
    assert "register" not in dict(run.sandbox.ran)
