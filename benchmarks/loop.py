"""What the choices of the training loop cost: processor time of a step, by setting.

Steps of the train stage on the data of a finished run, each from its own start; the median, without
the first ones. `docs/experiments.md` has the table: `python -m benchmarks.loop`.
"""

import statistics
import time
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from components.modalities.registry import MODALITIES

from benchmarks.throughput import start
from components.common.files import read_json
from components.config.load import load_settings
from components.config.settings import Settings
from components.data.tables import SAMPLES, read_table
from components.train.__main__ import compile_model, recipe
from components.train.data import prepare
from components.training.checkpoint import Checkpoint
from components.training.loop import fit
from components.training.settings import EncoderModes

STEPS, FIRST = 40, 5
CHOICES: dict[str, dict] = {
    "float32": {},
    "average: 0.99": {"average": 0.99},
    "accumulate: 4": {"accumulate": 4},
    "clip: 1.0": {"clip": 1.0},
    "precision: bfloat16": {"precision": "bfloat16"},
    "compile: true": {"compile": True},
}


def seconds(settings: Settings) -> list[float]:
    """Of processor time, a number a step."""
    model = start(settings, read_json(Path("data/vocabulary.json")))
    if settings.train.compile:
        compile_model(model)
    table = read_table(Path("data/samples.parquet"), SAMPLES)
    tensors, features = (
        {m: Path("data") / kind / m for m in MODALITIES} for kind in ("tensors", "features")
    )
    course = prepare(settings, table, model, tensors, features)
    began: list[float] = []
    with TemporaryDirectory() as folder:
        run = recipe(course, settings, Checkpoint(Path(folder) / "checkpoint", ""))
        share, batches = run.share, run.batches

        def timed(batch, count: int) -> list:
            began.append(time.process_time())
            return share(batch, count)

        run.share, run.measure = timed, dict
        run.batches = lambda: batches()[:STEPS]
        fit(run)
    return [after - before for before, after in pairwise(began)]


def main() -> None:
    """Print the table."""
    settings = load_settings(Path("params.yaml"))
    for mode in ("frozen", "finetune"):
        modes = EncoderModes(**dict.fromkeys(MODALITIES, mode))
        for name, choice in CHOICES.items():
            changes = {"encoders": modes, "epochs": 1, **choice}
            train = settings.train.model_copy(update=changes)
            found = seconds(settings.model_copy(update={"train": train}))
            median, first = statistics.median(found[FIRST:]), sum(found[:FIRST])
            print(f"{mode:8} {name:20} {median * 1e3:5.0f} ms a step, the first {first:.1f} s")


if __name__ == "__main__":
    main()
