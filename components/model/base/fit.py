"""The training loop that every learning stage shares: reproducible to the bit, and resumable."""

import logging
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from components.config.settings import OptimiserSettings
from components.model.base import checkpoint
from components.model.base.recipe import Recipe
from components.model.base.schedule import cosine
from components.model.base.steps import StepLog
from components.store.hashing import number_from
from components.store.tables import HISTORY

log = logging.getLogger(__name__)

Row = tuple[int, str, str, float]  # of the history, in the order of HISTORY's columns


@dataclass(frozen=True)
class Logs:
    """What a training run said.

    Attributes:
        history: by epoch, a table as `HISTORY`.
        steps: by step, a table as `STEPS`.
    """

    history: pd.DataFrame
    steps: pd.DataFrame


def fit(recipe: Recipe) -> Logs:
    """Train `recipe.module` in place with AdamW (Loshchilov & Hutter 2019)."""
    run = _Run(recipe)
    run.resume()
    while run.epoch < recipe.options.epochs:
        run.train_epoch()
        run.validate()
    return run.finish()


def skip(label: str, why: str) -> pd.DataFrame:
    """The history of a run that trains nothing: a table as `HISTORY`, without rows."""
    log.info("%s: nothing is trained: %s", label, why)
    return pd.DataFrame(columns=list(HISTORY.columns))


class _Run:
    """A training run and how far it is: `step` steps of epoch `epoch` are done, `done` in all."""

    def __init__(self, recipe: Recipe):
        self.recipe, self.options = recipe, recipe.options
        self.optimiser = torch.optim.AdamW(
            _groups(recipe.module, self.options), lr=self.options.learning_rate, fused=True
        )
        self.epoch = self.step = self.done = 0
        self.chance: Tensor | None = None  # state of the generator, where a run resumes
        self.history: list[Row] = []
        self.steps = StepLog()
        self.bar: tqdm | None = None

    def train_epoch(self) -> None:
        """What is left of the epoch."""
        recipe, first = self.recipe, self.done - self.step
        recipe.module.train()
        batches = self._draw()
        if self.bar is None:
            total = self.done - self.step + (self.options.epochs - self.epoch) * len(batches)
            self.bar = tqdm(
                desc=recipe.label, total=total, initial=self.done, unit="step", disable=None
            )
        for batch in batches[self.step :]:
            progress = (self.epoch + self.step / len(batches)) / self.options.epochs
            for group in self.optimiser.param_groups:
                group["lr"] = self.options.learning_rate * cosine(progress)
            self._step(batch)
            self.step, self.done = self.step + 1, self.done + 1
            self.bar.update()
            self._save_if_due()
        means = self.steps.means("loss", first)
        self.history += [(self.epoch, "loss", task, mean) for task, mean in means.items()]

    def _draw(self) -> list:
        """The batches of the epoch; afterwards the generator is where it was at this step."""
        torch.manual_seed(number_from(self.recipe.seed, self.recipe.label, self.epoch))
        batches = list(self.recipe.batches())
        if self.chance is not None:
            torch.set_rng_state(self.chance)
            self.chance = None
        return batches

    def _step(self, batch: Any) -> None:
        recipe = self.recipe
        self.optimiser.zero_grad(set_to_none=True)
        (share,) = recipe.share(batch, 1)
        losses = share.weighted(recipe.losses(share.batch))
        recipe.total(losses).backward()
        recipe.before_step()
        self.optimiser.step()
        self.steps.add(self.done, {"loss": losses, **recipe.note()})

    def validate(self) -> None:
        """Measure, and go on to the next epoch."""
        self.recipe.module.eval()
        with torch.no_grad():
            measured = self.recipe.measure()
        self.recipe.module.train()
        for series, values in measured.items():
            self.history += [(self.epoch, series, task, value) for task, value in values.items()]
        self.recipe.after_epoch(measured)
        self.bar.set_postfix_str(_postfix(self.history, self.epoch), refresh=False)
        self.epoch, self.step = self.epoch + 1, 0
        self._save_if_due()

    def finish(self) -> Logs:
        """Leave the module in evaluation mode; say what was reached."""
        if self.bar is not None:
            self.bar.close()
        self.recipe.module.eval()
        table = pd.DataFrame(self.history, columns=list(HISTORY.columns))
        last = table[table["epoch"] == self.epoch - 1]
        for series, rows in last.groupby("series", sort=False):
            reached = ", ".join(f"{row.task} {row.value:.4f}" for row in rows.itertuples())
            log.info("%s: %s after %d epochs: %s", self.recipe.label, series, self.epoch, reached)
        return Logs(table, self.steps.table())

    def _save_if_due(self) -> None:
        if self.recipe.checkpoint.due:
            tensors = {
                "weights": self.recipe.module.state_dict(),
                "moments": checkpoint.moments(self.optimiser),
                "chance": {"cpu": torch.get_rng_state()},
                "steps": self.steps.state(),
            }
            position = {"epoch": self.epoch, "step": self.step, "done": self.done}
            logs = {"history": self.history, "names": self.steps.names}
            self.recipe.checkpoint.save(tensors, position | logs)

    def resume(self) -> None:
        """Go on where the checkpoint was written, if there is one."""
        found = self.recipe.checkpoint.load()
        if found is None:
            return
        tensors, state = found
        self.recipe.module.load_state_dict(tensors["weights"])
        checkpoint.remember(self.optimiser, tensors.get("moments", {}))
        self.steps.restore(tensors["steps"], state["names"])
        self.history = [tuple(row) for row in state["history"]]
        self.epoch, self.step, self.done = state["epoch"], state["step"], state["done"]
        if self.step:
            self.chance = tensors["chance"]["cpu"]


def _groups(module: nn.Module, options: OptimiserSettings) -> list[dict]:
    """Matrices are decayed; gains, biases and single vectors are not."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _postfix(history: list[Row], epoch: int) -> str:
    rows = [row for row in history if row[0] == epoch]
    return " ".join(f"{series}/{task} {value:.3f}" for _, series, task, value in rows[:4])
