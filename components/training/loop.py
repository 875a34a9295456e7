"""The training loop that every learning stage shares: reproducible to the bit, and resumable."""

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from components.common.hashing import number_from
from components.data.tables import HISTORY
from components.stage.progress import bar
from components.training import checkpoint
from components.training import distributed as parallel
from components.training.determinism import random_states, set_random_states
from components.training.early_stopping import Row, Watch, name
from components.training.ema import MovingAverage
from components.training.run import Measured, Recipe, Share
from components.training.schedules import SCHEDULES
from components.training.step_log import StepLog

log = logging.getLogger(__name__)


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
    if not run.resume():
        run.check()
    while not run.over:
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
        self.recipe, self.options, self.loop = recipe, recipe.options, recipe.loop
        self.optimiser = torch.optim.AdamW(
            _groups(recipe), lr=self.options.learning_rate, fused=True
        )
        decay, stopping = self.loop.average, self.loop.early_stopping
        self.average = MovingAverage(recipe.module, decay) if decay else None
        self.watch = Watch(stopping.metric, stopping.patience) if stopping else None
        self.best: dict[str, Tensor] = {}  # weights of the best epoch, if it is watched
        self.epoch = self.step = self.done = 0
        self.chance: dict[str, Tensor] = {}  # states of the generators, where a run resumes
        self.device = next(recipe.module.parameters()).device
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
            only_first = {} if parallel.first() else {"disable": True}
            self.bar = bar(
                label=recipe.label, unit="step", total=total, initial=self.done, **only_first
            )
        for batch in batches[self.step :]:
            self._set_pace(len(batches))
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
        if self.chance:
            set_random_states(self.chance, self.device)
            self.chance = {}
        return batches

    def _set_pace(self, steps: int) -> None:
        """Learning rate and momentum of the next step; an epoch has so many."""
        progress = (self.epoch + self.step / steps) / self.options.epochs
        pace = SCHEDULES[self.loop.schedule](progress, self.options.epochs * steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * pace.rate
            group["betas"] = (pace.momentum, group["betas"][1])

    def _step(self, batch: Any) -> None:
        recipe, module = self.recipe, self.recipe.module
        self.optimiser.zero_grad(set_to_none=True)
        shares = recipe.share(batch, self.loop.accumulate * parallel.count())
        with parallel.own_chance(self.device, recipe.seed, recipe.label, self.done):
            losses = self._backward(shares)
        parallel.merge(module, losses)
        recipe.before_step()
        if self.loop.clip is not None:
            nn.utils.clip_grad_norm_(module.parameters(), self.loop.clip)
        self.optimiser.step()
        if self.average is not None:
            self.average.update()
        self.steps.add(self.done, {"loss": losses, **recipe.note()})

    def _backward(self, shares: list[Share]) -> dict[str, Tensor]:
        """This process's part of the gradient of the mean over the shares, and of the losses."""
        if len(shares) == 1:
            return self._descend(shares[0], 1)
        sums: dict[str, Tensor] = {}
        for share in shares[parallel.rank() :: parallel.count()]:
            for task, loss in self._descend(share, len(shares)).items():
                sums[task] = sums.get(task, 0) + loss.detach() / len(shares)
        return sums

    def _descend(self, share: Share, count: int) -> dict[str, Tensor]:
        """Add the gradient of one of so many shares to what is there; give its losses."""
        with self._precision():
            losses = share.weighted(self.recipe.losses(share.batch))
            total = self.recipe.total(losses)
        (total / count if count > 1 else total).backward()
        return losses

    def _precision(self) -> AbstractContextManager:
        if self.loop.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def validate(self) -> None:
        """Measure, and go on to the next epoch."""
        measured = self._measure()
        for series, values in measured.items():
            self.history += [(self.epoch, series, task, value) for task, value in values.items()]
        if self.watch is not None and self.watch.best(self.history) == self.epoch:
            with self._judged():
                weights = self.recipe.module.state_dict()
                self.best = {name: value.clone() for name, value in weights.items()}
        self.recipe.after_epoch(measured)
        self.bar.set_postfix_str(_postfix(self.history, self.epoch), refresh=False)
        self.epoch, self.step = self.epoch + 1, 0
        self._save_if_due()

    def check(self) -> None:
        """See that the metric that is watched is measured, before any work.

        Raises:
            InputError: it is not.
        """
        if self.watch is not None:
            measured = self._measure()
            self.watch.check(name(series, task) for series in measured for task in measured[series])

    def _measure(self) -> Measured:
        self.recipe.module.eval()
        with torch.no_grad(), self._judged():
            measured = self.recipe.measure()
        self.recipe.module.train()
        return measured

    def _judged(self) -> AbstractContextManager:
        """Meanwhile the module has the weights that are validated and saved."""
        if self.average is None:
            return nullcontext()
        return self.average.standing_in()

    @property
    def over(self) -> bool:
        """Whether nothing is left to train."""
        if self.step == 0 and self.watch is not None and self.watch.over(self.history):
            return True
        return self.epoch == self.options.epochs

    def finish(self) -> Logs:
        """Leave the module in evaluation mode, with the weights to keep; say what was reached."""
        if self.bar is not None:
            self.bar.close()
        module = self.recipe.module.eval()
        if self.average is not None:
            self.average.exchange()
        if self.watch is not None:
            module.load_state_dict(self.best)
        table = pd.DataFrame(self.history, columns=list(HISTORY.columns))
        kept = self.watch.best(self.history) if self.watch is not None else self.epoch - 1
        for series, rows in table[table["epoch"] == kept].groupby("series", sort=False):
            reached = ", ".join(f"{row.task} {row.value:.4f}" for row in rows.itertuples())
            log.info("%s: %s after %d epochs: %s", self.recipe.label, series, kept + 1, reached)
        return Logs(table, self.steps.table())

    def _save_if_due(self) -> None:
        if parallel.first() and self.recipe.checkpoint.due:
            tensors = {
                "weights": self.recipe.module.state_dict(),
                "moments": checkpoint.moments(self.optimiser),
                "chance": random_states(self.device),
                "steps": self.steps.state(),
                "average": self.average.state() if self.average is not None else {},
                "best": self.best,
            }
            position = {"epoch": self.epoch, "step": self.step, "done": self.done}
            logs = {"history": self.history, "names": self.steps.names}
            self.recipe.checkpoint.save(tensors, position | logs)

    def resume(self) -> bool:
        """Go on where the checkpoint was written, if there is one; give whether there is."""
        found = self.recipe.checkpoint.load()
        parallel.meet()  # before one of them trains, writes the next and removes it
        if found is None:
            return False
        tensors, state = found
        self.recipe.module.load_state_dict(tensors["weights"])
        checkpoint.remember(self.optimiser, tensors.get("moments", {}))
        self.steps.restore(tensors["steps"], state["names"])
        self.history = [tuple(row) for row in state["history"]]
        self.epoch, self.step, self.done = state["epoch"], state["step"], state["done"]
        if self.step:
            self.chance = tensors["chance"]
        if self.average is not None:
            self.average.restore(tensors["average"])
        self.best = tensors.get("best", {})
        return True


def _groups(recipe: Recipe) -> list[dict]:
    """Matrices are decayed; gains, biases and single vectors are not. `rate` is at full pace."""
    groups: dict[tuple[bool, float], list] = {}
    options = recipe.options
    own = {p: rate for part, rate in recipe.rates.items() for p in part.parameters()}
    for parameter in recipe.module.parameters():
        rate = own.get(parameter, options.learning_rate)
        if parameter.requires_grad:
            groups.setdefault((parameter.ndim <= 1, rate), []).append(parameter)
    return [
        {"params": params, "weight_decay": 0.0 if single else options.weight_decay, "rate": rate}
        for (single, rate), params in sorted(groups.items(), key=lambda item: item[0])
    ]


def _postfix(history: list[Row], epoch: int) -> str:
    rows = [row for row in history if row[0] == epoch]
    return " ".join(f"{name(series, task)} {value:.3f}" for _, series, task, value in rows[:4])
