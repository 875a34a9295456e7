"""Stage `baselines`: simple models of plain features, which the trained model is compared with."""

from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from components.baselines.examples import held_out_rows
from components.baselines.learn import baseline_task, learn, measure
from components.baselines.settings import BaselinesSettings, stage_settings
from components.common.files import read_json, write_json
from components.data.samples import SPLIT, read_samples
from components.data.tables import write_table
from components.modalities.registry import MODALITIES
from components.stage.arguments import Arguments, input_path, output_path
from components.stage.stage import Stage
from components.tasks.baseline import BASELINES
from components.tasks.registry import with_heads


@dataclass(frozen=True, kw_only=True)
class BaselinesArguments(Arguments):
    """The command line."""

    samples: Path = input_path("Parquet, the samples")
    vocabulary: Path = input_path("JSON, what ingest learnt of each task's labels")
    media: Path = input_path("folder, one media shard set per modality")
    baselines: Path = output_path("Parquet, what the baselines get right on held-out samples")
    fits: Path = output_path("JSON, what each baseline learnt from, by task and modality")


def main(arguments: BaselinesArguments, settings: BaselinesSettings) -> None:
    """Run the stage; on one thread, so that the bytes do not depend on the machine."""
    samples = read_samples(arguments.samples, MODALITIES)
    vocabulary = read_json(arguments.vocabulary)
    train, held_out = samples[samples[SPLIT] == "train"], held_out_rows(samples)
    wanted = with_heads(settings.tasks) if settings.evaluate.baselines else {}
    built = (baseline_task(n, task, vocabulary[n], held_out) for n, task in wanted.items())
    tasks = [task for task in built if task is not None]
    with threadpool_limits(1):
        of_modalities = arguments.media, settings.preprocess
        fits = learn(tasks, train, held_out, *of_modalities, settings.workers)
        table = measure(tasks, train, fits)
    write_table(arguments.baselines, table, BASELINES)
    shown = {task: {m: fit.to_json() for m, fit in of.items()} for task, of in fits.items()}
    write_json(arguments.fits, shown)


STAGE = Stage(__doc__, BaselinesArguments, lambda _: stage_settings(), main)

if __name__ == "__main__":
    STAGE.main()
