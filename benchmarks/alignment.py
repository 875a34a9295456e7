"""What a loss of the align stage leads to, on what the last run of the pipeline left.

The stages from align to evaluate run as `dvc repro` runs them, in a folder of their own, on the
features that are there.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from benchmarks.incremental import linked, run
from components.common.files import read_json

STAGES = ("align", "train", "evaluate")


@dataclass(frozen=True)
class Alignment:
    """What was reached on the test split.

    Attributes:
        recall_at_1: in the aligned space, by direction.
        zero_shot: accuracy by task, from images.
        answer: accuracy of the trained model, by subset of modalities.
        seconds: of the align stage.
    """

    recall_at_1: dict[str, float]
    zero_shot: dict[str, float]
    answer: dict[str, float]
    seconds: float


def measure(seed: int, loss: str, project: Path = Path()) -> Alignment:
    """Align, train and evaluate the demo with a seed and a loss.

    Args:
        seed: of these three stages; the features are those of the seed in params.yaml.
        loss: as `align.loss` in params.yaml.
        project: the folder in which the pipeline is complete.
    """
    (project / "work").mkdir(exist_ok=True)
    with TemporaryDirectory(dir=project / "work") as name:
        folder = Path(name)
        linked(project, folder, "data", "models", "pretrained", "reports")
        params = yaml.safe_load((project / "params.yaml").read_text())
        params["seed"], params["align"]["loss"] = seed, loss
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        seconds = run(folder, project, STAGES)
        metrics = read_json(folder / "reports/metrics.json")
        retrieval = read_json(folder / "reports/retrieval.json")
    prompted = metrics["zero_shot_accuracy"]
    return Alignment(
        recall_at_1=retrieval["recall_at_1"],
        zero_shot={task: values["image"] for task, values in prompted.items()},
        answer=metrics["accuracy"]["answer"],
        seconds=seconds["align"],
    )
