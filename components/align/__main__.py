"""Stage `align`: projections of all modalities into one space, trained contrastively."""

import argparse
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from components.config.command import Stage, View
from components.config.settings import MODALITIES, Modality
from components.model.base.assets import AssetTensors, load_assets
from components.model.base.fit import Checkpoint, Recipe, fit, make_deterministic, skip
from components.model.base.projection import Projections, contrastive_loss
from components.store.files import replacing, write_json
from components.store.tables import HISTORY, SAMPLES, SPLITS, read_table, write_table

log = logging.getLogger(__name__)

STAGE = Stage(
    description="Train projections of all modalities into one space, contrastively on every pair.",
    inputs={
        "samples": "Parquet, the samples",
        **{m: f"folder, the feature shard set of {m}" for m in MODALITIES},
    },
    outputs={
        "projections": "safetensors, the projections",
        "embeddings": "safetensors, the embedding of every asset, by modality",
        "metrics": "JSON, retrieval in every direction on the test split",
        "history": "CSV, metrics by epoch",
        "checkpoint": "safetensors, where an interrupted run resumes; removed at the end",
    },
    params=("seed", "threads", "align"),
)

PAIRS = tuple(combinations(MODALITIES, 2))
START, LIMIT = math.log(1 / 0.07), math.log(100)  # of the log inverse temperature, as in CLIP


class Aligner(nn.Module):
    """The projections and one learnt temperature a pair of modalities."""

    def __init__(self, widths: Mapping[Modality, int], width: int):
        super().__init__()
        self.projections = Projections(widths, width)
        self.log_scale = nn.Parameter(torch.full((len(PAIRS),), START))

    def scale(self, pair: tuple[Modality, Modality]) -> Tensor:
        """Inverse temperature of a pair, a scalar."""
        return self.log_scale[PAIRS.index(pair)].clamp(max=LIMIT).exp()


@dataclass(frozen=True)
class Pairs:
    """Which assets of two modalities belong together in one split.

    Attributes:
        rows: int64 [P, 2], the distinct pairs, sorted.
    """

    rows: Tensor

    @classmethod
    def of(cls, left: Tensor, right: Tensor) -> "Pairs":
        """From the row of each sample's asset, -1 where it has none: two tensors [n]."""
        rows = torch.stack([left, right], 1)  # [n, 2]
        return cls(rows[(rows >= 0).all(1)].unique(dim=0))

    def matrix(self, left: Tensor, right: Tensor) -> Tensor:
        """bool [N, M]: whether `left[i]` and `right[j]` are a pair."""
        base = int(torch.cat([self.rows[:, 1], right]).max()) + 1
        asked = left[:, None] * base + right  # [N, M]
        known = self.rows[:, 0] * base + self.rows[:, 1]  # [P], sorted as the rows are
        place = torch.searchsorted(known, asked).clamp(max=len(known) - 1)
        return known[place] == asked


Pooled = Mapping[Modality, Tensor]  # [N, D] a modality
PairsBySplit = Mapping[str, Mapping[tuple[Modality, Modality], Pairs]]


def find_pairs(samples: pd.DataFrame, assets: Mapping[Modality, AssetTensors]) -> PairsBySplit:
    """The pairs of every two modalities in every split."""
    found = {}
    for split in SPLITS:
        part = samples[samples["split"] == split]
        rows = {m: assets[m].rows(part[f"{m}_id"]) for m in MODALITIES}
        found[split] = {pair: Pairs.of(rows[pair[0]], rows[pair[1]]) for pair in PAIRS}
    return found


def only_learnt(pairs: PairsBySplit) -> PairsBySplit:
    """Without the modalities that no training sample has together with another one."""
    learnt = {m for pair, known in pairs["train"].items() if len(known.rows) for m in pair}
    return {
        split: {pair: known for pair, known in found.items() if learnt.issuperset(pair)}
        for split, found in pairs.items()
    }


def batches(train: Mapping[tuple, Pairs], size: int) -> list[dict[tuple, Tensor]]:
    """The pairs of every two modalities in a random order, cut into equally many batches."""
    present = {pair: pairs.rows for pair, pairs in train.items() if len(pairs.rows)}
    count = max(1, -(-max(map(len, present.values())) // size))
    parts = {pair: _repeat(rows, count * size).split(size) for pair, rows in present.items()}
    return [{pair: part[number] for pair, part in parts.items()} for number in range(count)]


def _repeat(rows: Tensor, size: int) -> Tensor:
    """`size` rows: every row in a random order, as often as it takes."""
    rounds = -(-size // len(rows))
    return rows[torch.cat([torch.randperm(len(rows)) for _ in range(rounds)])[:size]]


def losses(aligner: Aligner, pooled: Pooled, train: Mapping, batch: Mapping) -> dict[str, Tensor]:
    """The contrastive loss of every pair of modalities; each asset is embedded once."""
    result = {}
    for pair, rows in batch.items():
        assets = [side.unique() for side in rows.T]
        embeddings = [
            aligner.projections.embed(m, pooled[m][a]) for m, a in zip(pair, assets, strict=True)
        ]
        positive = train[pair].matrix(*assets)
        result["–".join(pair)] = contrastive_loss(*embeddings, positive, aligner.scale(pair))
    return result


@torch.no_grad()
def retrieval(aligner: Aligner, pooled: Pooled, pairs: Mapping) -> dict[str, dict[str, float]]:
    """Recall at 1 and 5 in every direction, among the assets of one split.

    A query is answered if one of its partners is among the first k.
    """
    recall = {"recall_at_1": {}, "recall_at_5": {}}
    for pair, known in pairs.items():
        if not len(known.rows):
            continue
        assets = [side.unique() for side in known.rows.T]
        left, right = (
            aligner.projections.embed(m, pooled[m][a]) for m, a in zip(pair, assets, strict=True)
        )
        scores, positive = left @ right.T, known.matrix(*assets)  # [N, M]
        for name, s, p in (
            (f"{pair[0]}→{pair[1]}", scores, positive),
            (f"{pair[1]}→{pair[0]}", scores.T, positive.T),
        ):
            best = s.topk(min(5, s.shape[1]), dim=1).indices  # [N, 5]
            hits = p.gather(1, best)
            recall["recall_at_1"][name] = float(hits[:, 0].float().mean())
            recall["recall_at_5"][name] = float(hits.any(1).float().mean())
    return recall


def train(
    aligner: Aligner, pooled: Pooled, pairs: PairsBySplit, settings: View, checkpoint: Checkpoint
) -> pd.DataFrame:
    """Train `aligner` on the pairs of the training split, if there are any; give its history."""
    if not pairs["train"]:
        return skip("align", "no training sample has two modalities")
    return fit(
        Recipe(
            module=aligner,
            batches=partial(batches, pairs["train"], settings.align.batch),
            losses=partial(losses, aligner, pooled, pairs["train"]),
            measure=partial(retrieval, aligner, pooled, pairs["validation"]),
            options=settings.align,
            seed=settings.seed,
            checkpoint=checkpoint,
            label="align",
        )
    )


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    make_deterministic(settings.seed, settings.threads)
    samples = read_table(arguments.samples, SAMPLES)
    assets = {m: load_assets(getattr(arguments, m)) for m in MODALITIES}
    pooled = {m: assets[m].tensors["pooled"] for m in MODALITIES if assets[m].ids}
    pairs = only_learnt(find_pairs(samples, assets))
    aligner = Aligner({m: values.shape[1] for m, values in pooled.items()}, settings.align.width)
    checkpoint = Checkpoint.of(arguments, settings, STAGE)
    history = train(aligner, pooled, pairs, settings, checkpoint)
    aligner.eval()
    with replacing(arguments.projections) as temporary:
        save_file(aligner.projections.state_dict(), temporary)
    with torch.no_grad(), replacing(arguments.embeddings) as temporary:
        save_file({m: aligner.projections.embed(m, pooled[m]) for m in pooled}, temporary)
    write_table(arguments.history, history, HISTORY)
    recall = retrieval(aligner, pooled, pairs["test"])
    write_json(arguments.metrics, recall)
    checkpoint.clear()
    for name, value in recall["recall_at_1"].items():
        log.info("recall@1 %-12s %.4f (test)", name, value)


if __name__ == "__main__":
    STAGE.run(work)
