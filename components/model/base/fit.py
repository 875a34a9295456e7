"""The training loop that every learning stage shares: reproducible to the bit, and resumable."""

import json
import logging
import math
import time
from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

import components
from components.config.command import Stage, View
from components.config.settings import OptimiserSettings
from components.store.files import replacing
from components.store.hashing import file_hash, fingerprint, number_from
from components.store.tables import HISTORY

log = logging.getLogger(__name__)

WARM_UP = 0.1  # share of the steps
SECONDS_BETWEEN_CHECKPOINTS = 5.0  # at the end of the epoch after that; it changes no bytes

Row = tuple[int, str, str, float]  # of the history, in the order of HISTORY's columns


def make_deterministic(seed: int, threads: int) -> None:
    """Same seed, same thread count, same kind of processor: same bits."""
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports for 3 s
    torch.utils.deterministic.fill_uninitialized_memory = False  # it only costs time
    torch.set_num_threads(threads)
    torch.manual_seed(seed)


@dataclass(frozen=True)
class Checkpoint:
    """Where a training run leaves its state, and what the state must have come from.

    Attributes:
        path: one safetensors file; gone when the run is complete.
        origin: fingerprint of everything that decides the run; a file of another origin is
            ignored.
    """

    path: Path
    origin: str

    @classmethod
    def of(cls, arguments: Namespace, settings: View, stage: Stage) -> "Checkpoint":
        """The checkpoint of a stage: it comes from the stage's inputs, settings and all code."""
        inputs = [getattr(arguments, name.replace("-", "_")) for name in stage.inputs]
        code = Path(components.__path__[0])
        sources = sorted(code.rglob("*.py"))
        return cls(arguments.checkpoint, fingerprint(file_hash(*inputs, *sources), settings.dump()))

    def save(self, module: nn.Module, optimiser: torch.optim.Optimizer, state: dict) -> None:
        """Write weights, moments and `state` (JSON), whole or not at all."""
        tensors = {f"weights.{name}": value for name, value in module.state_dict().items()}
        for index, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"moments.{index}.{name}": value for name, value in moments.items()}
        tensors = {name: value.contiguous() for name, value in tensors.items()}
        with replacing(self.path) as temporary:
            save_file(tensors, temporary, {"state": json.dumps(state | {"origin": self.origin})})

    def restore(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> dict | None:
        """Load weights and moments in place and give the state; None if there is none to load."""
        if not self.path.exists():
            return None
        with safe_open(self.path, "pt") as file:
            state = json.loads(file.metadata()["state"])
            if state.pop("origin") != self.origin:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        weights, moments = {}, {}
        for name, value in tensors.items():
            kind, rest = name.split(".", 1)
            if kind == "weights":
                weights[rest] = value
            else:
                index, moment = rest.split(".")
                moments.setdefault(int(index), {})[moment] = value
        module.load_state_dict(weights)
        optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
        return state

    def clear(self) -> None:
        """Remove the file; the run is complete."""
        self.path.unlink(missing_ok=True)


def add(losses: dict[str, Tensor]) -> Tensor:
    """The sum of the losses of all tasks."""
    return torch.stack(list(losses.values())).sum()


@dataclass
class Recipe:
    """What one training run does.

    Attributes:
        module: everything that has weights.
        batches: gives the batches of an epoch; draws from torch's global generator.
        losses: gives a batch's losses by task.
        measure: gives series → task → value after an epoch, with the module in evaluation mode.
        options: epochs, learning rate, weight decay.
        seed: all randomness of epoch e follows from (seed, e), so a run can resume at any epoch.
        checkpoint: where to resume from.
        label: the name of the run, in messages and among what its randomness follows from.
        total: from the losses what is minimised.
        before_step: is called when the gradients are there, before they are used.
    """

    module: nn.Module
    batches: Callable[[], Iterable[Any]]
    losses: Callable[[Any], dict[str, Tensor]]
    measure: Callable[[], dict[str, dict[str, float]]]
    options: OptimiserSettings
    seed: int
    checkpoint: Checkpoint
    label: str
    total: Callable[[dict[str, Tensor]], Tensor] = add
    before_step: Callable[[], None] = lambda: None


def fit(recipe: Recipe) -> pd.DataFrame:
    """Train `recipe.module` in place with AdamW (Loshchilov & Hutter 2019).

    Returns:
        Its history: a table as `HISTORY`.
    """
    module, options = recipe.module, recipe.options
    optimiser = torch.optim.AdamW(_groups(module, options), lr=options.learning_rate, fused=True)
    state = recipe.checkpoint.restore(module, optimiser) or {"epoch": 0, "history": []}
    history = [tuple(row) for row in state["history"]]
    saved = time.monotonic()
    epochs = tqdm(
        range(options.epochs), recipe.label, initial=state["epoch"], unit="epoch", disable=None
    )
    for epoch in range(state["epoch"], options.epochs):
        torch.manual_seed(number_from(recipe.seed, recipe.label, epoch))
        history += _train_epoch(recipe, optimiser, epoch)
        module.eval()
        with torch.no_grad():
            for series, values in recipe.measure().items():
                history += [(epoch, series, task, value) for task, value in values.items()]
        epochs.set_postfix_str(_postfix(history, epoch), refresh=False)
        epochs.update()
        if time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
            recipe.checkpoint.save(module, optimiser, {"epoch": epoch + 1, "history": history})
            saved = time.monotonic()
    epochs.close()
    table = pd.DataFrame(history, columns=list(HISTORY.columns))
    for series, rows in table[table["epoch"] == options.epochs - 1].groupby("series", sort=False):
        reached = ", ".join(f"{row.task} {row.value:.4f}" for row in rows.itertuples())
        log.info("%s: %s after %d epochs: %s", recipe.label, series, options.epochs, reached)
    return table


def skip(label: str, why: str) -> pd.DataFrame:
    """The history of a run that trains nothing: a table as `HISTORY`, without rows."""
    log.info("%s: nothing is trained: %s", label, why)
    return pd.DataFrame(columns=list(HISTORY.columns))


def _groups(module: nn.Module, options: OptimiserSettings) -> list[dict]:
    """Matrices are decayed; gains, biases and single vectors are not."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": options.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _train_epoch(recipe: Recipe, optimiser: torch.optim.Optimizer, epoch: int) -> list[Row]:
    recipe.module.train()
    batches = list(recipe.batches())
    sums: dict[str, Tensor] = {}
    for number, batch in enumerate(batches):
        progress = (epoch + number / len(batches)) / recipe.options.epochs
        for group in optimiser.param_groups:
            group["lr"] = recipe.options.learning_rate * learning_rate_factor(progress)
        losses = recipe.losses(batch)
        optimiser.zero_grad(set_to_none=True)
        recipe.total(losses).backward()
        recipe.before_step()
        optimiser.step()
        for task, loss in losses.items():
            sums[task] = sums.get(task, 0) + loss.detach()
    return [(epoch, "loss", task, float(value) / len(batches)) for task, value in sums.items()]


def learning_rate_factor(progress: float) -> float:
    """Linear warm-up, then half a cosine to zero (Loshchilov & Hutter 2017); `progress` 0 to 1."""
    if progress < WARM_UP:
        return (progress + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def _postfix(history: list[Row], epoch: int) -> str:
    rows = [row for row in history if row[0] == epoch]
    return " ".join(f"{series}/{task} {value:.3f}" for _, series, task, value in rows[:4])
