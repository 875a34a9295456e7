"""The training loop of every learning stage: reproducible to the bit, and resumable."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from components.common.hashing import number_from
from components.data.tables import concat_tables
from components.stage.progress import bar
from components.training import checkpoint, distributed
from components.training.adamw import AdamW
from components.training.determinism import random_states, set_random_states
from components.training.distributed import GradientSync
from components.training.early_stopping import EarlyStopping, Row
from components.training.ema import MovingAverage
from components.training.logs import StepLog
from components.training.overfitting import parted, warning
from components.training.run import Losses, MicroBatch, TrainingRun, Validation
from components.training.schedules import SCHEDULES
from components.training.tables import HISTORY

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Logs:
    """Logs of a training run."""

    history: pd.DataFrame  # per epoch, a table as `HISTORY`
    steps: pd.DataFrame  # per step, a table as `STEPS`


def train(run: TrainingRun) -> Logs:
    """Train `run.module` in place with AdamW (Loshchilov & Hutter 2019)."""
    loop = _Loop(run)
    if not loop.resume():
        loop.check_early_stopping()
    while not loop.is_over():
        loop.train_epoch()
        loop.validate()
    return loop.finish()


def skip(label: str, why: str) -> pd.DataFrame:
    """Log that a run trains nothing; return its history, a table as `HISTORY` without rows."""
    log.info("%s: nothing is trained: %s", label, why)
    return concat_tables([], HISTORY)


class _Loop:
    """A run and its position: `step` steps of epoch `epoch` are done, `steps_done` in all."""

    def __init__(self, run: TrainingRun):
        self.run, self.options, self.settings = run, run.optimizer, run.loop
        groups = _parameter_groups(run)
        self.optimizer = AdamW(groups, lr=self.options.learning_rate, fused=True)
        self.sync_gradients = GradientSync(run.module)
        self.ema = MovingAverage(run.module, self.settings.ema_decay)
        stopping = self.settings.early_stopping
        self.stopping = EarlyStopping(stopping) if stopping else None
        self.best_weights: dict[str, Tensor] = {}  # of the best epoch, with early stopping
        self.epoch = self.step = self.steps_done = 0
        self.resumed_states: Mapping[str, Tensor] = {}  # of the generators, within an epoch
        self.device = next(run.module.parameters()).device
        self.history: list[Row] = []
        self.step_log = StepLog()
        self.progress: tqdm | None = None

    def train_epoch(self) -> None:
        """Train the rest of the epoch."""
        first_step = self.steps_done - self.step
        self.run.module.train()
        batches = self._draw_batches()
        progress = self._progress_bar(len(batches))
        for batch in batches[self.step :]:
            self._train_step(batch, len(batches))
            self.step, self.steps_done = self.step + 1, self.steps_done + 1
            progress.update()
            self._save_if_due()
        means = self.step_log.means("loss", first_step)
        self.history += [(self.epoch, "loss", task, mean) for task, mean in means.items()]

    def _train_step(self, batch: Any, steps_per_epoch: int) -> None:
        """Make one optimizer step on a batch."""
        run, module, settings = self.run, self.run.module, self.settings
        self._set_learning_rate(steps_per_epoch)
        self.optimizer.zero_grad(set_to_none=True)
        count = run.accumulation_steps * distributed.world_size()
        micro_batches = run.micro_batches(batch, count)
        with distributed.per_rank_generator(self.device, run.seed, run.label, self.steps_done):
            losses = self._backward(micro_batches)
        self.sync_gradients(losses)
        run.before_optimizer_step()
        if settings.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), settings.max_grad_norm)
        self.optimizer.step()
        self.ema.update()
        self.step_log.add(self.steps_done, {"loss": losses, **run.step_values()})

    def _backward(self, micro_batches: Sequence[MicroBatch]) -> Losses:
        """Accumulate this process's part of the gradient; return its part of the losses."""
        if len(micro_batches) == 1:
            return self._backward_one(micro_batches[0], 1)
        sums: Losses = {}
        for micro_batch in micro_batches[distributed.rank() :: distributed.world_size()]:
            for task, loss in self._backward_one(micro_batch, len(micro_batches)).items():
                sums[task] = sums.get(task, 0) + loss.detach() / len(micro_batches)
        return sums

    def _backward_one(self, micro_batch: MicroBatch, count: int) -> Losses:
        """Accumulate the gradient of one of `count` micro-batches; return its losses."""
        is_bfloat16 = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_bfloat16):
            losses = micro_batch.weighted(self.run.losses(micro_batch.batch))
            total = self.run.total_loss(losses)
        (total / count if count > 1 else total).backward()
        return losses

    def _set_learning_rate(self, steps_per_epoch: int) -> None:
        """Set the learning rate and momentum of the next step."""
        progress = (self.epoch + self.step / steps_per_epoch) / self.options.epochs
        steps = self.options.epochs * steps_per_epoch
        point = SCHEDULES[self.settings.schedule](progress, steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * point.learning_rate
            group["betas"] = (point.momentum, group["betas"][1])

    def _draw_batches(self) -> list:
        """Return the batches of the epoch; leave the generator where it was at this step."""
        torch.manual_seed(number_from(self.run.seed, self.run.label, self.epoch))
        batches = list(self.run.batches())
        if self.resumed_states:
            set_random_states(self.resumed_states, self.device)
            self.resumed_states = {}
        return batches

    def _progress_bar(self, steps_per_epoch: int) -> tqdm:
        if self.progress is None:
            first_step = self.steps_done - self.step
            total = first_step + (self.options.epochs - self.epoch) * steps_per_epoch
            hidden: dict[str, Any] = {} if distributed.is_main_process() else {"disable": True}
            self.progress = bar(
                label=self.run.label, unit="step", total=total, initial=self.steps_done, **hidden
            )
        return self.progress

    def validate(self) -> None:
        """Validate, and go on to the next epoch."""
        validation = self._validate()
        for metric, values in validation.items():
            self.history += [(self.epoch, metric.name, task, v) for task, v in values.items()]
        if self.stopping is not None and self.stopping.best_epoch(self.history) == self.epoch:
            with self.ema.swapped_in():
                weights = self.run.module.state_dict()
                self.best_weights = {name: value.clone() for name, value in weights.items()}
        self.run.after_epoch(validation)
        if self.progress is not None:
            rows = [row for row in self.history if row[0] == self.epoch][:4]
            shown = " ".join(f"{series}/{task} {value:.3f}" for _, series, task, value in rows)
            self.progress.set_postfix_str(shown, refresh=False)
        self.epoch, self.step = self.epoch + 1, 0
        self._save_if_due()

    def check_early_stopping(self) -> None:
        """Raise `InputError`, before any work, if the metric of early stopping is not validated."""
        if self.stopping is not None:
            self.stopping.watch(self._validate(), self.run.label)

    def _validate(self) -> Validation:
        """Return what the main process measures, so that the others leave their cores idle."""
        return distributed.from_main_process(self._measure)

    def _measure(self) -> Validation:
        self.run.module.eval()
        with torch.no_grad(), self.ema.swapped_in():
            validation = self.run.validate()
        self.run.module.train()
        return validation

    def is_over(self) -> bool:
        """Return whether training has ended."""
        if self.step == 0 and self.stopping is not None and self.stopping.is_over(self.history):
            return True
        return self.epoch == self.options.epochs

    def finish(self) -> Logs:
        """Leave the module in evaluation mode with the final weights; log what was reached."""
        if self.progress is not None:
            self.progress.close()
        module = self.run.module.eval()
        self.ema.swap()
        kept = self.epoch - 1
        if self.stopping is not None:
            module.load_state_dict(self.best_weights)
            kept = self.stopping.best_epoch(self.history)
        if distributed.is_main_process():
            with torch.no_grad():
                self.history += [(kept, *row) for row in parted(*self.run.compare())]
        table = pd.DataFrame(self.history, columns=pd.Index(HISTORY.columns))
        for series, rows in table[table["epoch"] == kept].groupby("series", sort=False):
            values = zip(rows["task"], rows["value"], strict=True)
            reached = ", ".join(f"{task} {value:.4f}" for task, value in values)
            log.info("%s: %s after %d epochs: %s", self.run.label, series, kept + 1, reached)
        if sentence := warning(self.run.label, table):
            log.warning(sentence)
        return Logs(table, self.step_log.table())

    def _save_if_due(self) -> None:
        if distributed.is_main_process() and self.run.checkpoint.is_due:
            tensors = {
                "weights": self.run.module.state_dict(),
                "optimizer": checkpoint.optimizer_tensors(self.optimizer),
                "random": random_states(self.device),
                "steps": self.step_log.state(),
                "ema": self.ema.state(),
                "best": self.best_weights,
            }
            position = {"epoch": self.epoch, "step": self.step, "steps_done": self.steps_done}
            logs = {"history": self.history, "names": self.step_log.names}
            watched = None if self.stopping is None else self.stopping.higher_is_better
            self.run.checkpoint.save(tensors, position | logs | {"stopping": watched})

    def resume(self) -> bool:
        """Continue from the checkpoint; return whether there is one."""
        found = self.run.checkpoint.load()
        distributed.barrier()  # before one process trains, overwrites the file and removes it
        if found is None:
            return False
        tensors, state = found
        self.run.module.load_state_dict(tensors["weights"])
        checkpoint.restore_optimizer(self.optimizer, tensors.get("optimizer", {}))
        self.step_log.restore(tensors["steps"], state["names"])
        self.history = [(epoch, *rest) for epoch, *rest in state["history"]]
        self.epoch, self.step = state["epoch"], state["step"]
        self.steps_done = state["steps_done"]
        if self.step:
            self.resumed_states = tensors["random"]
        self.ema.restore(tensors.get("ema", {}))
        if self.stopping is not None:
            self.stopping.higher_is_better = state["stopping"]
        self.best_weights = tensors.get("best", {})
        return True


def _parameter_groups(run: TrainingRun) -> list[dict[str, Any]]:
    """Return parameter groups: matrices decay; biases, gains and single vectors do not."""
    groups: dict[tuple[bool, float], list] = {}
    options = run.optimizer
    own = {p: rate for part, rate in run.learning_rates.items() for p in part.parameters()}
    for parameter in run.module.parameters():
        rate = own.get(parameter, options.learning_rate)
        if parameter.requires_grad:
            groups.setdefault((parameter.ndim <= 1, rate), []).append(parameter)
    return [
        {"params": params, "weight_decay": 0.0 if vector else options.weight_decay, "peak_lr": rate}
        for (vector, rate), params in sorted(groups.items(), key=lambda item: item[0])
    ]
