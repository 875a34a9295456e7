"""The time of a training step against other loops: same model, batches, losses and optimiser.

Our loop is `fit`, as the train stage calls it. The others are a loop written by hand, Lightning's
and that of Transformers' `Trainer`, wrapped as their guides say and with everything off that only
costs time: logging, checkpoints, progress, clipping. All have the batches ready, and their loaders
hand out the places of these. A step lasts from its beginning to that of the next, so that what a
loop does before its first step and after its last does not count. Counted is processor time, all
of it one thread's, since the clock of a shared machine counts others' work too. The loops take
turns in one process, each in each place once, and ratios are taken within a turn.
"""

import contextlib
import io
import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.modalities.registry import MODALITIES
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader

from benchmarks.throughput import start
from components.common.files import read_json
from components.config.settings import Settings
from components.data.tables import SAMPLES, read_table
from components.train.__main__ import recipe
from components.train.data import prepare
from components.training.checkpoint import Checkpoint
from components.training.loop import fit
from components.training.run import Recipe, Share
from components.training.settings import EncoderModes

STEPS = 100
TURNS = 4
OURS, BY_HAND = "ours", "a loop by hand"


@dataclass
class Work:
    """What every loop is given.

    Attributes:
        recipe: of the train stage, with a fresh model.
        batches: those of the run.
        began: when each step did, in processor time.
    """

    recipe: Recipe
    batches: list
    began: list[float] = field(default_factory=list)

    def share(self, batch: Any, count: int) -> list[Share]:
        """A batch as a step sees it: here the step begins."""
        self.began.append(time.process_time())
        return self.recipe.share(batch, count)

    def loss(self, batch: Any) -> Tensor:
        """Of a batch, all tasks together."""
        (whole,) = self.share(batch, 1)
        return self.recipe.total(self.recipe.losses(whole.batch))

    def optimiser(self) -> AdamW:
        """As a guide has it."""
        learning = [p for p in self.recipe.module.parameters() if p.requires_grad]
        options = self.recipe.options
        return AdamW(
            learning, lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
        )

    def seconds(self) -> float:
        """Of a step, their mean."""
        if len(self.began) != len(self.batches):
            raise AssertionError(f"{len(self.began)} steps for {len(self.batches)} batches")
        return (self.began[-1] - self.began[0]) / (len(self.began) - 1)


def ours(work: Work, folder: Path) -> None:
    """The loop of all stages, without what is measured after an epoch."""
    fit(replace(work.recipe, batches=lambda: work.batches, share=work.share, measure=dict))


def by_hand(work: Work, folder: Path) -> None:
    """Nothing but what it takes to learn."""
    optimiser = work.optimiser()
    schedule = CosineAnnealingLR(optimiser, len(work.batches))
    work.recipe.module.train()
    for batch in work.batches:
        optimiser.zero_grad()
        work.loss(batch).backward()
        optimiser.step()
        schedule.step()


def lightning(work: Work, folder: Path) -> None:
    """Lightning's `Trainer` and a `LightningModule`."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.module = work.recipe.module

        def training_step(self, place):
            return work.loss(work.batches[place])

        def configure_optimizers(self):
            optimiser = work.optimiser()
            schedule = CosineAnnealingLR(optimiser, len(work.batches))
            return [optimiser], [{"scheduler": schedule, "interval": "step"}]

    trainer = lightning.Trainer(
        accelerator="cpu",
        deterministic=True,  # as ours is
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(Module(), DataLoader(range(len(work.batches)), batch_size=None))


def transformers(work: Work, folder: Path) -> None:
    """Transformers' `Trainer`."""
    from transformers import Trainer, TrainingArguments

    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = work.recipe.module

        def forward(self, place):
            return {"loss": work.loss(work.batches[place])}

    arguments = TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        num_train_epochs=1,
        per_device_train_batch_size=1,  # a batch of ours
        optim="adamw_torch_fused",
        learning_rate=work.recipe.options.learning_rate,
        weight_decay=work.recipe.options.weight_decay,
        lr_scheduler_type="cosine",
        max_grad_norm=0.0,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    data = [{"place": place} for place in range(len(work.batches))]
    Trainer(Module(), arguments, data_collator=lambda rows: rows[0], train_dataset=data).train()


LOOPS: dict[str, Callable[[Work, Path], None]] = {
    OURS: ours,
    BY_HAND: by_hand,
    "Lightning": lightning,
    "Transformers' Trainer": transformers,
}


@contextlib.contextmanager
def quietly():
    """Without what the libraries say."""
    logging.getLogger("lightning").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def turn(settings: Settings, order: list[str]) -> dict[str, float]:
    """Seconds of a step, by loop, one after the other in this order."""
    table = read_table(Path("data/samples.parquet"), SAMPLES)
    tensors, features = (
        {m: Path("data") / kind / m for m in MODALITIES} for kind in ("tensors", "features")
    )
    train = settings.train.model_copy(update={"epochs": 1})
    settings = settings.model_copy(update={"train": train})
    found = {}
    for name in order:
        model = start(settings, read_json(Path("data/vocabulary.json")))
        course = prepare(settings, table, model, tensors, features)
        with TemporaryDirectory() as folder, quietly():
            chosen = recipe(course, settings, Checkpoint(Path(folder) / "checkpoint", ""))
            work = Work(chosen, list(chosen.batches())[:STEPS])
            LOOPS[name](work, Path(folder))
        found[name] = work.seconds()
    return found


def measure(settings: Settings) -> dict[str, dict[str, dict[str, float]]]:
    """By mode of the encoders and loop: seconds of a step, and our time as a share of theirs."""
    result = {}
    for mode in ("frozen", "finetune"):
        modes = EncoderModes(**dict.fromkeys(MODALITIES, mode))
        train = settings.train.model_copy(update={"encoders": modes})
        chosen = settings.model_copy(update={"train": train})
        names = list(LOOPS)
        orders = [names[n % len(names) :] + names[: n % len(names)] for n in range(TURNS)]
        turns = [turn(chosen, order) for order in orders]
        result[mode] = {
            name: {
                "seconds": statistics.median(found[name] for found in turns),
                "ratio": statistics.median(found[OURS] / found[name] for found in turns),
            }
            for name in names
        }
    return result
