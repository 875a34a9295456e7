"""The time of a training step against other loops, and the part of it that augmentation takes.

Every loop has the same model, batches, losses and optimizer.

The loop of the stages is `train`, as the train stage calls it. The others are a loop written by
hand, Lightning's and that of Transformers' `Trainer`, wrapped as their guides say and with
everything off that only costs time: logging, checkpoints, progress, clipping. All have the batches
ready, and their loaders return the places of these. A step lasts from its beginning to that of the
next, so that what a loop does before its first step and after its last does not count. Counted is
processor time, all of one thread, since the clock of a shared machine counts others' work too. The
loops run one after the other in one process, in another order in each repetition, and ratios are
taken within a repetition.

Augmentation is timed beside the steps of the stages `features_*` of image and sound, each on the
batch of its step.
"""

import io
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader

from benchmarks.figures import Comparison, Figure, duration
from benchmarks.training import (
    MODES,
    TimedTraining,
    encoder_training,
    fresh_model,
    read_settings,
    timed_training,
)
from components.train.joint_training import StepSamples
from components.train.settings import TrainStageSettings
from components.training.loop import train

OWN, BY_HAND = "the loop of the stages", "a loop by hand"

AUGMENTED = ("image", "audio")  # whose encoders learn from changed assets

STEPS = 100  # of one loop in one repetition
REPETITIONS = 4  # of all loops; as many as loops put each in each place once


def loss(run: TimedTraining, batch: StepSamples) -> Tensor:
    """Return the loss of a batch, all tasks together."""
    (whole,) = run.micro_batches(batch, 1)
    return run.total_loss(run.losses(whole.batch))


def optimizer(run: TimedTraining) -> tuple[AdamW, CosineAnnealingLR]:
    """Return the optimizer and its schedule as a guide has them."""
    learning = [p for p in run.module.parameters() if p.requires_grad]
    rate, decay = run.optimizer.learning_rate, run.optimizer.weight_decay
    adamw = AdamW(learning, lr=rate, weight_decay=decay, fused=True)
    return adamw, CosineAnnealingLR(adamw, len(run.batches()))


def by_hand(run: TimedTraining, folder: Path) -> None:
    """Train with nothing but what it takes to learn."""
    adamw, schedule = optimizer(run)
    run.module.train()
    for batch in run.batches():
        adamw.zero_grad()
        loss(run, batch).backward()
        adamw.step()
        schedule.step()


def with_lightning(run: TimedTraining, folder: Path) -> None:
    """Train with Lightning's `Trainer` and a `LightningModule`."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.module = run.module

        def training_step(self, place):
            return loss(run, run.batches()[place])

        def configure_optimizers(self):
            adamw, schedule = optimizer(run)
            return [adamw], [{"scheduler": schedule, "interval": "step"}]

    trainer = lightning.Trainer(
        accelerator="cpu",
        deterministic=True,  # as the stages are
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(Module(), DataLoader(range(len(run.batches())), batch_size=None))


def with_transformers(run: TimedTraining, folder: Path) -> None:
    """Train with Transformers' `Trainer`."""
    from transformers import Trainer, TrainingArguments

    class Module(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = run.module

        def forward(self, place):
            return {"loss": loss(run, run.batches()[place])}

    arguments = TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        num_train_epochs=1,
        per_device_train_batch_size=1,  # one of the batches
        optim="adamw_torch_fused",
        learning_rate=run.optimizer.learning_rate,
        weight_decay=run.optimizer.weight_decay,
        lr_scheduler_type="cosine",
        max_grad_norm=0.0,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    data = [{"place": place} for place in range(len(run.batches()))]
    Trainer(Module(), arguments, data_collator=lambda rows: rows[0], train_dataset=data).train()


LOOPS: dict[str, Callable[[TimedTraining, Path], object]] = {
    OWN: lambda run, folder: train(run),
    BY_HAND: by_hand,
    "Lightning": with_lightning,
    "Transformers' Trainer": with_transformers,
}
NEEDS = {"Lightning": "lightning", "Transformers' Trainer": "accelerate"}  # packages


def seconds_per_step(project: Path, settings: TrainStageSettings, name: str) -> float:
    """Return the mean time of a step of a loop."""
    logging.getLogger("lightning").setLevel(logging.ERROR)
    with (
        timed_training(project, settings, fresh_model(project, settings), STEPS) as run,
        TemporaryDirectory() as folder,
        redirect_stdout(io.StringIO()),  # what the libraries print
        redirect_stderr(io.StringIO()),
    ):
        LOOPS[name](run, Path(folder))
    if len(run.began) != len(run.batches()):
        raise AssertionError(f"{len(run.began)} steps for {len(run.batches())} batches")
    return (run.began[-1] - run.began[0]) / (len(run.began) - 1)


def measure(project: Path, mode: str) -> dict[str, Comparison]:
    """Compare the seconds per step of the stages' loop with each other loop."""
    settings = read_settings(project, encoders=MODES[mode], epochs=1)
    names = [name for name in LOOPS if name not in NEEDS or find_spec(NEEDS[name])]
    repetitions = []
    for number in range(REPETITIONS):
        first = number % len(names)
        order = names[first:] + names[:first]
        repetitions.append({n: seconds_per_step(project, settings, n) for n in order})
    return {
        name: Comparison.of([(found[OWN], found[name]) for found in repetitions])
        for name in names
        if name != OWN
    }


def augmentation(project: Path, m: str) -> Comparison:
    """Compare the seconds of the augmentation of a batch with those of its step."""
    run = encoder_training(project, m)
    adamw = AdamW(run.module.parameters(), run.options.learning_rate, fused=True)
    augment, tensors, pairs = run.data.pretext.augment, run.data.assets.tensors, []

    def step(batch: Tensor) -> None:
        adamw.zero_grad()
        run.total_loss(run.losses(batch)).backward()
        adamw.step()

    for batch in run.batches()[:STEPS]:
        inputs = {name: value[batch] for name, value in tensors.items()}
        seconds = duration(partial(augment, inputs), time.process_time)
        pairs.append((seconds, duration(partial(step, batch), time.process_time)))
    return Comparison.of(pairs)


def figures(project: Path) -> Iterator[Figure]:
    """Yield the rows of the table."""
    for mode in MODES:
        for loop, found in measure(project, mode).items():
            own, other = 1000 * found.value, 1000 * found.reference
            value = f"{found.ratio:.2f} × ({own:.1f} ms against {other:.1f} ms)"
            bar = "≤ 1.05 ×" if loop == BY_HAND else "< 1 ×"
            yield Figure(f"a training step against {loop}, encoders {mode}", value, bar)
    for m in AUGMENTED:
        found = augmentation(project, m)
        part, whole = 1000 * found.value, 1000 * found.reference
        value = f"{100 * found.ratio:.1f} % ({part:.2f} ms of {whole:.1f} ms)"
        yield Figure(f"augmentation in a step of the encoder of {m}", value, "≤ 10 %")
