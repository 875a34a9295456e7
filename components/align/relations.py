"""Which assets of two modalities belong together: by samples, or by a value that they share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd
import torch
from torch import Tensor

from components.common.errors import InputError
from components.data.samples import SPLIT, SPLITS, Split
from components.tasks.retrieval.settings import RetrievalSettings
from components.tasks.settings import TaskSettings


class Sharing:
    """Assets that share a value, in the same sample or in different ones.

    Their pairs are never listed: n assets and n others with one value are n² pairs.
    """

    def __init__(self, left: Tensor, right: Tensor, values: Tensor):
        """From the row of each sample's asset and the number of its value, -1: none, [n] each."""
        self.left = _distinct(left, values)  # pairs of an asset and its value, int64 [n, 2]
        self.right = _distinct(right, values)  # likewise, [m, 2]

    def draw(self) -> Tensor:
        """Return random pairs that share a value, int64 [P, 2].

        Each value has as many pairs as assets in the modality that has more of them: each of those
        is drawn once, those of the other modality equally often.
        """
        both = torch.cat([self.left[:, 1], self.right[:, 1]])
        length = int(both.max()) + 1 if len(both) else 0
        counts = [side[:, 1].bincount(minlength=length) for side in (self.left, self.right)]
        sizes = torch.where(counts[0] * counts[1] > 0, torch.maximum(*counts), 0)  # [values]
        value = torch.arange(length).repeat_interleave(sizes)  # [P]
        place = _ranges(torch.zeros_like(sizes), sizes)  # within the value, [P]
        pairs = []
        for side, count in zip((self.left, self.right), counts, strict=True):
            mixed = side[torch.randperm(len(side))]
            mixed = mixed[mixed[:, 1].argsort(stable=True), 0]  # by value
            first = count.cumsum(0) - count
            pairs.append(mixed[first[value] + place % count[value]])
        return torch.stack(pairs, 1)

    def sides(self) -> tuple[Tensor, Tensor]:
        """Return the assets on the left with a partner [N], and all on the right [M]."""
        partnered = torch.isin(self.left[:, 1], self.right[:, 1])
        return self.left[partnered, 0].unique(), self.right[:, 0].unique()

    def matrix(self, left: Tensor, right: Tensor) -> Tensor:
        """Return whether `left[i]` and `right[j]` share a value, bool [N, M]."""
        rows, carried = _find(self.left[:, 0].contiguous(), left)
        columns, right_carried = _find(self.right[:, 0].contiguous(), right)
        values, order = self.right[right_carried, 1].sort(stable=True)
        asked, found = _find(values, self.left[carried, 1])
        matrix = torch.zeros(len(left), len(right), dtype=torch.bool)
        matrix[rows[asked], columns[order[found]]] = True
        return matrix


class Pairs(Sharing):
    """Assets that samples have together: the value that they share is the asset on the right."""

    def __init__(self, left: Tensor, right: Tensor):
        """From the row of each sample's asset, -1 where it has none, [n] each."""
        partners = torch.where(left >= 0, right, -1)
        super().__init__(left, partners, partners)

    def draw(self) -> Tensor:
        """Return all pairs, int64 [P, 2], sorted."""
        return self.left


def _distinct(first: Tensor, second: Tensor) -> Tensor:
    """Return the distinct pairs of two tensors [n] without -1, sorted: int64 [P, 2]."""
    rows = torch.stack([first, second], 1)  # [n, 2]
    return rows[(rows >= 0).all(1)].unique(dim=0)


def _ranges(first: Tensor, count: Tensor) -> Tensor:
    """Return `count` consecutive numbers from each `first`, concatenated, int64."""
    start = first - (count.cumsum(0) - count)
    return start.repeat_interleave(count) + torch.arange(int(count.sum()))


def _find(known: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places in `asked` and in sorted `known` of all equal values."""
    first = torch.searchsorted(known, asked)
    count = torch.searchsorted(known, asked, right=True) - first
    return torch.arange(len(asked)).repeat_interleave(count), _ranges(first, count)


@dataclass(frozen=True)
class Relation:
    """A relation between two modalities, left and right."""

    modalities: tuple[str, str]
    weight: float  # of its loss
    splits: Mapping[Split, Sharing]  # which assets belong together


Relations = dict[str, Relation]
Rows = Mapping[str, Tensor]  # by modality the row of each sample's asset, -1 where it has none, [n]


def by_sample(samples: pd.DataFrame, rows: Rows, modalities: Sequence[str]) -> Relations:
    """Return by every two modalities, as `image and text`, the assets that samples share."""
    return {
        f"{a} and {b}": Relation(
            (a, b), 1.0, {s: Pairs(rows[a][of], rows[b][of]) for s, of in _splits(samples)}
        )
        for a, b in combinations(modalities, 2)
    }


def by_task(samples: pd.DataFrame, rows: Rows, tasks: Mapping[str, TaskSettings]) -> Relations:
    """Return for every retrieval task the assets that share a value of its column, queries left.

    Raises:
        InputError: in the training split no two assets do.
    """
    found: Relations = {}
    for name, task in tasks.items():
        if not isinstance(task, RetrievalSettings):
            continue
        values = torch.tensor(samples[task.column].factorize()[0])  # null: -1
        queries, targets = rows[task.query], rows[task.target]
        splits: dict[Split, Sharing] = {
            s: Sharing(queries[of], targets[of], values[of]) for s, of in _splits(samples)
        }
        if not len(splits["train"].sides()[0]):
            raise InputError(
                f"tasks.{name}: in the training split no {task.query} and no {task.target} "
                f"share a value of column {task.column!r}, so there is nothing to learn. Mend "
                "the task or ingest.splits; the data report counts what each split has"
            )
        found[name] = Relation((task.query, task.target), task.weight, splits)
    return found


def _splits(samples: pd.DataFrame) -> list[tuple[Split, Tensor]]:
    """Return each split with the samples in it, bool [n]."""
    return [(split, torch.tensor((samples[SPLIT] == split).to_numpy())) for split in SPLITS]
