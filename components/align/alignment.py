"""The training that brings all modalities into one space."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from components.align.contrastive import LOSSES
from components.align.relations import Relation, Relations
from components.align.settings import AlignSettings
from components.common.metrics import Metric
from components.data.samples import Split
from components.data.tables import concat_tables
from components.layers.projection import Projections
from components.tasks.retrieval.metrics import RANKS, RETRIEVAL_METRICS, rank_metrics
from components.training.run import Losses, TrainingRun, Validation

RECALLS = {1: Metric("recall_at_1", primary=True), 5: Metric("recall_at_5")}  # of pairs, by k
MAX_CELLS = 1 << 24  # of a similarity matrix at a time
TOLERANCE = 1e-6  # similarities that differ by less are equal: float32 tells no more

Pairs = dict[str, Tensor]  # by relation int64 [n, 2]


@dataclass(frozen=True)
class AlignmentData:
    """What is aligned."""

    pooled: Mapping[str, Tensor]  # pooled features of every asset, [N, D] per modality
    pairs: Relations  # every two modalities, related by samples
    tasks: Relations  # query and target of retrieval tasks, related by a column

    @property
    def relations(self) -> Relations:
        """All that is learnt."""
        return self.pairs | self.tasks


def alignment_data(
    pooled: Mapping[str, Tensor], pairs: Relations, tasks: Relations
) -> AlignmentData:
    """Return the data without pairs of a modality that no training sample relates to another."""
    related = [r for r in (pairs | tasks).values() if len(r.splits["train"].sides()[0])]
    learnt = {m for relation in related for m in relation.modalities}
    kept = {name: pair for name, pair in pairs.items() if learnt.issuperset(pair.modalities)}
    return AlignmentData(pooled, kept, tasks)


class Aligner(nn.Module):
    """The projections, and the loss that trains them with its parameters."""

    def __init__(self, data: AlignmentData, options: AlignSettings):
        super().__init__()
        widths = {m: values.shape[1] for m, values in data.pooled.items()}
        self.projections = Projections(widths, options.embed_dim)
        self.loss = LOSSES[options.loss](list(data.relations))


@dataclass
class AlignmentTraining(TrainingRun):
    """The training of an aligner, in place; a step takes `batch_size` pairs of each relation."""

    data: AlignmentData
    aligner: Aligner

    @property
    def label(self) -> str:
        return "align"

    @property
    def module(self) -> nn.Module:
        return self.aligner

    def batches(self) -> list[Pairs]:
        """Return the pairs of every relation in random order, in equally many batches."""
        relations, size = self.data.relations, self.optimizer.batch_size
        drawn = {name: relation.splits["train"].draw() for name, relation in relations.items()}
        drawn = {name: rows for name, rows in drawn.items() if len(rows)}
        count = max(1, -(-max(map(len, drawn.values())) // size))
        parts = {name: _repeat(rows, count * size).split(size) for name, rows in drawn.items()}
        return [{name: part[number] for name, part in parts.items()} for number in range(count)]

    def losses(self, batch: Pairs) -> Losses:
        """Return the weighted contrastive loss of every relation; each asset is embedded once."""
        result: Losses = {}
        self.aligner.loss.clamp()
        for name, rows in batch.items():
            relation = self.data.relations[name]
            left, right = (side.unique() for side in rows.T)
            positive = relation.splits["train"].matrix(left, right)
            embeddings = self._embed(relation, left, right)
            result[name] = relation.weight * self.aligner.loss(name, *embeddings, positive)
        return result

    def _embed(self, relation: Relation, *assets: Tensor) -> list[Tensor]:
        """Return embeddings of assets of the left [N, E] and of the right modality [M, E]."""
        return [
            self.aligner.projections.embed(m, self.data.pooled[m][rows])
            for m, rows in zip(relation.modalities, assets, strict=True)
        ]

    def validate(self) -> Validation:
        """Return metrics of pairs and of retrieval tasks on the validation split."""
        result = self.pair_recall("validation")
        for name, task in self.data.tasks.items():
            found = self.search(task, "validation")
            if len(found):
                values = rank_metrics(found.tolist())
                for metric in RETRIEVAL_METRICS:
                    result.setdefault(metric, {})[name] = values[metric.name]
        return result

    @torch.no_grad()
    def search(self, relation: Relation, split: Split, turned: bool = False) -> Tensor:
        """Return the rank of what each query on the left finds on the right, int64 [N].

        With `turned`, the assets on the right are the queries.
        """
        known = relation.splits[split]
        left, right = known.sides()
        if not len(left):
            return left
        x, y = self._embed(relation, left, right)
        if turned:
            return ranks(y, x, lambda part: known.matrix(left, right[part]).T)
        return ranks(x, y, lambda part: known.matrix(left[part], right))

    def pair_recall(self, split: Split) -> dict[Metric, dict[str, float]]:
        """Return recall at 1 and 5 of every pair in both directions, among the assets of one split.

        A query is answered if one of its partners is among the first k.
        """
        result: dict[Metric, dict[str, float]] = {metric: {} for metric in RECALLS.values()}
        for pair in self.data.pairs.values():
            a, b = pair.modalities
            for direction, turned in ((f"{a} to {b}", False), (f"{b} to {a}", True)):
                found = self.search(pair, split, turned)
                if len(found):
                    for k, metric in RECALLS.items():
                        result[metric][direction] = float((found <= k).float().mean())
        return result

    def rank_table(self, ids: Mapping[str, Sequence[str]], split: Split) -> pd.DataFrame:
        """Return the ranks of the queries of retrieval tasks on a split, as `RANKS`.

        `ids` are those of every asset by modality.
        """
        parts = []
        for name, task in self.data.tasks.items():
            queries, targets = task.splits[split].sides()
            found = {
                "task": name,
                "asset_id": [ids[task.modalities[0]][row] for row in queries.tolist()],
                "rank": self.search(task, split).numpy(),
                "targets": len(targets),
            }
            parts.append(pd.DataFrame(found))
        return concat_tables(parts, RANKS)


def _repeat(rows: Tensor, size: int) -> Tensor:
    """Return `size` rows: every row in random order, as often as it takes."""
    rounds = -(-size // len(rows))
    return rows[torch.cat([torch.randperm(len(rows)) for _ in range(rounds)])[:size]]


def ranks(queries: Tensor, targets: Tensor, right: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the rank of each query's nearest right target among the wrong ones, int64 [N].

    It is 1 + the number of wrong targets that are at least as near: of equally near ones the right
    one comes last, so a model for which all are alike finds nothing. Further right targets do not
    count. Embeddings, [N, E] and [M, E], have length 1; of some of the queries, int64 [n], `right`
    returns which targets are right, bool [n, M]: at least one per query.
    """
    found = []
    for part in torch.arange(len(queries)).split(max(1, MAX_CELLS // len(targets))):
        similarity, known = queries[part] @ targets.T, right(part)  # [n, M]
        nearest = similarity.masked_fill(~known, -torch.inf).amax(1, keepdim=True)
        ahead = (similarity > nearest - TOLERANCE) & ~known
        found.append(1 + ahead.sum(1))
    return torch.cat(found)
