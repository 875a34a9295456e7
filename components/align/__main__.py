"""Stage `align`: projections of all modalities into one space, trained contrastively."""

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from components.align.contrast import LOSSES, Contrast
from components.align.ranks import ranks
from components.align.relations import Relation, Relations, by_task, together
from components.common.files import replacing, write_json
from components.config.command import Stage, View
from components.data.assets import load_assets
from components.data.tables import HISTORY, RANKS, SAMPLES, read_table, write_table
from components.layers.projection import Projections
from components.modalities.registry import MODALITIES, Modality
from components.tasks.retrieval.labels import rank_metrics
from components.training.checkpoint import Checkpoint
from components.training.determinism import make_deterministic
from components.training.loop import fit, skip
from components.training.run import Recipe
from components.training.settings import AlignSettings

log = logging.getLogger(__name__)

STAGE = Stage(
    description="Train projections of all modalities into one space, contrastively on every pair "
    "and for every retrieval task.",
    inputs={
        "samples": "Parquet, the samples",
        **{m: f"folder, the feature shard set of {m}" for m in MODALITIES},
    },
    outputs={
        "projections": "safetensors, the projections",
        "embeddings": "safetensors, the embedding of every asset, by modality",
        "metrics": "JSON, retrieval in every direction on the test split",
        "ranks": "Parquet, how far down each query of a retrieval task found what it asked for",
        "history": "CSV, metrics by epoch",
        "checkpoint": "safetensors, where an interrupted run resumes; removed at the end",
    },
    params=("seed", "threads", "tasks", "align"),
)


class Aligner(nn.Module):
    """The projections, and the loss that teaches them with what it learns itself."""

    def __init__(self, widths: Mapping[Modality, int], width: int, contrast: Contrast):
        super().__init__()
        self.projections = Projections(widths, width)
        self.contrast = contrast


@dataclass(frozen=True)
class Course:
    """What is aligned, and by what.

    Attributes:
        aligner: trained in place.
        pooled: pooled features of every asset, [N, D] a modality.
        pairs: every two modalities, related by samples.
        tasks: retrieval tasks: query and target, related by a column.
    """

    aligner: Aligner
    pooled: Mapping[Modality, Tensor]
    pairs: Relations
    tasks: Relations

    @classmethod
    def of(
        cls,
        pooled: Mapping[Modality, Tensor],
        pairs: Relations,
        tasks: Relations,
        options: AlignSettings,
    ) -> "Course":
        """With fresh weights, for the relations between modalities that can be learnt."""
        pairs = only_learnt(pairs, tasks)
        widths = {m: values.shape[1] for m, values in pooled.items()}
        contrast = LOSSES[options.loss]([*pairs, *tasks])
        return cls(Aligner(widths, options.width, contrast), pooled, pairs, tasks)

    def embed(self, relation: Relation, assets: Sequence[Tensor]) -> list[Tensor]:
        """Embeddings of some assets of the left [N, E] and of the right modality [M, E]."""
        return [
            self.aligner.projections.embed(m, self.pooled[m][rows])
            for m, rows in zip(relation.modalities, assets, strict=True)
        ]


def only_learnt(pairs: Relations, tasks: Relations) -> Relations:
    """The pairs without modalities of which no training sample relates an asset to another."""
    related = [r for r in (pairs | tasks).values() if len(r.splits["train"].sides()[0])]
    learnt = {m for relation in related for m in relation.modalities}
    return {name: pair for name, pair in pairs.items() if learnt.issuperset(pair.modalities)}


def batches(relations: Relations, size: int) -> list[dict[str, Tensor]]:
    """The pairs of every relation in a random order, cut into equally many batches."""
    drawn = {name: relation.splits["train"].draw() for name, relation in relations.items()}
    drawn = {name: rows for name, rows in drawn.items() if len(rows)}
    count = max(1, -(-max(map(len, drawn.values())) // size))
    parts = {name: _repeat(rows, count * size).split(size) for name, rows in drawn.items()}
    return [{name: part[number] for name, part in parts.items()} for number in range(count)]


def _repeat(rows: Tensor, size: int) -> Tensor:
    """`size` rows: every row in a random order, as often as it takes."""
    rounds = -(-size // len(rows))
    return rows[torch.cat([torch.randperm(len(rows)) for _ in range(rounds)])[:size]]


def losses(course: Course, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The contrastive loss of every relation, weighted; each asset is embedded once."""
    relations, result = course.pairs | course.tasks, {}
    course.aligner.contrast.limit()
    for name, rows in batch.items():
        relation = relations[name]
        assets = [side.unique() for side in rows.T]
        positive = relation.splits["train"].matrix(*assets)
        loss = course.aligner.contrast(name, *course.embed(relation, assets), positive)
        result[name] = relation.weight * loss
    return result


@torch.no_grad()
def search(course: Course, relation: Relation, split: str, turned: bool = False) -> Tensor:
    """int64 [N]: the rank of what each query on the left finds on the right, as `ranks` counts.

    With `turned` those on the right are the queries.
    """
    known = relation.splits[split]
    left, right = known.sides()
    if not len(left):
        return left
    x, y = course.embed(relation, (left, right))
    if turned:
        return ranks(y, x, lambda part: known.matrix(left, right[part]).T)
    return ranks(x, y, lambda part: known.matrix(left[part], right))


def recall(course: Course, split: str) -> dict[str, dict[str, float]]:
    """Recall at 1 and 5 of every pair in both directions, among the assets of one split.

    A query is answered if one of its partners is among the first k.
    """
    result = {"recall_at_1": {}, "recall_at_5": {}}
    for pair in course.pairs.values():
        a, b = pair.modalities
        for direction, turned in ((f"{a}→{b}", False), (f"{b}→{a}", True)):
            found = search(course, pair, split, turned)
            if len(found):
                result["recall_at_1"][direction] = float((found <= 1).float().mean())
                result["recall_at_5"][direction] = float((found <= 5).float().mean())
    return result


def measure(course: Course) -> dict[str, dict[str, float]]:
    """What the validation split says of pairs and of retrieval tasks, after an epoch."""
    result = recall(course, "validation")
    for name, task in course.tasks.items():
        found = search(course, task, "validation")
        if len(found):
            for metric, value in rank_metrics(found.tolist()).items():
                result.setdefault(metric, {})[name] = value
    return result


def tabulate(course: Course, ids: Mapping[Modality, Sequence[str]]) -> pd.DataFrame:
    """What each query of the retrieval tasks finds on the test split: a table as `RANKS`.

    Args:
        course: trained.
        ids: of every asset, by modality.
    """
    parts = [pd.DataFrame(columns=list(RANKS.columns))]
    for name, task in course.tasks.items():
        queries, targets = task.splits["test"].sides()
        found = {
            "task": name,
            "asset_id": [ids[task.modalities[0]][row] for row in queries.tolist()],
            "rank": search(course, task, "test").numpy(),
            "targets": len(targets),
        }
        parts.append(pd.DataFrame(found))
    return pd.concat(parts[1:] or parts)


def train(course: Course, settings: View, checkpoint: Checkpoint) -> pd.DataFrame:
    """Train on the training split, if any two modalities meet in it; give the history."""
    relations = course.pairs | course.tasks
    if not relations:
        return skip("align", "no training sample has two modalities")
    return fit(
        Recipe(
            module=course.aligner,
            batches=partial(batches, relations, settings.align.batch),
            losses=partial(losses, course),
            measure=partial(measure, course),
            options=settings.align,
            seed=settings.seed,
            checkpoint=checkpoint,
            label="align",
        )
    ).history


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    make_deterministic(settings.seed, settings.threads)
    samples = read_table(arguments.samples, SAMPLES)
    assets = {m: load_assets(getattr(arguments, m)) for m in MODALITIES}
    rows = {m: assets[m].rows(samples[f"{m}_id"]) for m in MODALITIES}
    pooled = {m: assets[m].tensors["pooled"] for m in MODALITIES if assets[m].ids}
    pairs, tasks = together(samples, rows), by_task(samples, rows, settings.tasks)
    course = Course.of(pooled, pairs, tasks, settings.align)
    checkpoint = Checkpoint.of(arguments, settings, STAGE)
    history = train(course, settings, checkpoint)
    projections = course.aligner.eval().projections
    with replacing(arguments.projections) as temporary:
        save_file(projections.state_dict(), temporary)
    with torch.no_grad(), replacing(arguments.embeddings) as temporary:
        save_file({m: projections.embed(m, pooled[m]) for m in pooled}, temporary)
    write_table(arguments.history, history, HISTORY)
    write_table(arguments.ranks, tabulate(course, {m: assets[m].ids for m in MODALITIES}), RANKS)
    found = recall(course, "test")
    write_json(arguments.metrics, found)
    checkpoint.clear()
    for name, value in found["recall_at_1"].items():
        log.info("recall@1 %-12s %.4f (test)", name, value)


if __name__ == "__main__":
    STAGE.run(work)
