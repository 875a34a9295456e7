"""Which stages run again after an edit of a file, by the listings of code that they depend on.

The stage `code`, which writes the listings, runs after every edit in `components`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, markdown_table
from benchmarks.stages import downstream, read_stages

HEADS = ("edited file", "what it is", "run again", "only if the output changes", "learning stages")
WITHOUT_LEARNING = {  # files whose edit may re-run no learning stage → what they are
    "components/tasks/classification/plot.py": "a plot",
    "components/evaluate/report.py": "the evaluation report",
    "components/modalities/image/corruptions.py": "corruptions",
    "components/model/predictor.py": "the predictor",
    "flows/settings.py": "`operate`",
    "components/ingest/sources/coco.py": "a source that is not in use",
}
EDITS = WITHOUT_LEARNING | {
    "components/start/columns.py": "what columns hold, for `components.start`",
    "components/settings/pipeline.py": "the settings of all stages",
    "components/code/stage_code.py": "which code a stage can run",
    "components/training/downsample.py": "thins out logs per step",
    "components/tasks/classification/metrics.py": "metrics of a task kind",
    "components/evaluate/comparison/statistics.py": "tests of whether a model is better",
    "components/baselines/learn.py": "the fit of the baselines",
    "components/serving/predict.py": "predictions from the shell",
    "components/register/card.py": "the model card",
    "components/registry/versions.py": "versions in MLflow",
    "components/fusion/gated.py": "a fusion",
    "components/train/joint_training.py": "the losses of joint training",
    "components/align/contrastive.py": "the losses of the alignment",
    "components/features/encoder_training.py": "the training of encoders",
    "components/preprocess/convert.py": "from files to tensors",
    "components/modalities/audio/decoding.py": "decoding of sound",
    "components/modalities/text/encoders/transformer.py": "the encoder of texts",
    "components/huggingface/models.py": "models of Transformers",
    "components/training/loop.py": "the training loop",
    "components/layers/transformer.py": "Transformer layers",
    "components/data/shards.py": "shard sets",
    "components/stage/settings.py": "how settings are read",
    "components/common/files.py": "how files are written",
    "flows/pipeline.py": "the flow",
    "flows/crossvalidation/results.py": "how figures vary from fold to fold",
    "flows/dvc/stages.py": "how the flow drives DVC",
    "flows/prefect/artifacts.py": "pages in Prefect",
    "flows/promotion/gates.py": "gates of promotion",
    "flows/retraining/drop_folder.py": "where new data comes from",
    "flows/processes/command.py": "how commands are run",
    "flows/services/services.py": "the servers",
}


@dataclass(frozen=True)
class Effect:
    """Stages that run again, and those that do only if an output of the former changes.

    `learning` are those of `stages` that train something.
    """

    stages: Sequence[str]
    later: Sequence[str]
    learning: Sequence[str]


def effects(project: Path) -> dict[str, Effect]:
    """Return the effect of each edit of `EDITS`."""
    stages, found = read_stages(project), {}
    code = {name: set(stage.code) for name, stage in stages.items() if name != "code"}
    for file in EDITS:
        again = [name for name, files in code.items() if file in files]
        learning = [name for name in again if stages[name].is_learning]
        found[file] = Effect(again, downstream(stages, again), learning)
    return found


def figures(project: Path) -> Iterator[Figure]:
    """Yield the rows of the table."""
    found = effects(project)
    for file, what in WITHOUT_LEARNING.items():
        name = f"learning stages that an edit of {what} re-runs"
        yield Figure(name, ", ".join(found[file].learning) or "0", "0")


def table(project: Path) -> Iterator[str]:
    """Yield the lines of a Markdown table, a row per edit."""
    rows = []
    for file, effect in effects(project).items():
        bar = " (bar: 0)" if file in WITHOUT_LEARNING else ""
        names = [", ".join(found) or "none" for found in (effect.stages, effect.later)]
        rows.append([f"`{file}`", EDITS[file], *names, f"{len(effect.learning)}{bar}"])
    return markdown_table(HEADS, rows)
