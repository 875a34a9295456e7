"""Which assets of two modalities belong together: by samples, or by a value that they share."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import pandas as pd
import torch
from torch import Tensor

from components.common.errors import InputError
from components.data.tables import SPLITS
from components.modalities.registry import MODALITIES, Modality
from components.tasks.settings import TaskSettings


@dataclass(frozen=True)
class Pairs:
    """The assets that samples have together.

    Attributes:
        rows: int64 [P, 2], the distinct pairs, sorted.
    """

    rows: Tensor

    @classmethod
    def of(cls, left: Tensor, right: Tensor) -> "Pairs":
        """From the row of each sample's asset, -1 where it has none: two tensors [n]."""
        return cls(_distinct(left, right))

    def draw(self) -> Tensor:
        """int64 [P, 2]: all of them."""
        return self.rows

    def sides(self) -> tuple[Tensor, Tensor]:
        """The assets on the left [N] and on the right [M] that have a partner."""
        return self.rows[:, 0].unique(), self.rows[:, 1].unique()

    def matrix(self, left: Tensor, right: Tensor) -> Tensor:
        """bool [N, M]: whether `left[i]` and `right[j]` are a pair."""
        matrix = torch.zeros(len(left), len(right), dtype=torch.bool)
        matrix[_meeting(_carried(self.rows, left), (torch.arange(len(right)), right))] = True
        return matrix


@dataclass(frozen=True)
class Sharing:
    """The assets that share a value, be it in one sample or in two.

    Their pairs are never listed: n assets and n others with one value are n² pairs.

    Attributes:
        left: int64 [n, 2], the distinct pairs of an asset and a value that it carries, sorted.
        right: int64 [m, 2], likewise.
    """

    left: Tensor
    right: Tensor

    @classmethod
    def of(cls, left: Tensor, right: Tensor, values: Tensor) -> "Sharing":
        """From the row of each sample's asset and the number of its value, -1: none; [n] each."""
        return cls(_distinct(left, values), _distinct(right, values))

    def draw(self) -> Tensor:
        """int64 [P, 2]: pairs that share a value, at random.

        Of each value as many as there are assets with it, in the modality that has more of them:
        each of those once, those of the other modality equally often.
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
        """The assets on the left that have a partner [N], and all with a value on the right [M]."""
        partnered = torch.isin(self.left[:, 1], self.right[:, 1])
        return self.left[partnered, 0].unique(), self.right[:, 0].unique()

    def matrix(self, left: Tensor, right: Tensor) -> Tensor:
        """bool [N, M]: whether `left[i]` and `right[j]` share a value."""
        matrix = torch.zeros(len(left), len(right), dtype=torch.bool)
        matrix[_meeting(_carried(self.left, left), _carried(self.right, right))] = True
        return matrix


def _distinct(first: Tensor, second: Tensor) -> Tensor:
    """int64 [P, 2]: the distinct pairs of two tensors [n], sorted; none with -1 in it."""
    rows = torch.stack([first, second], 1)  # [n, 2]
    return rows[(rows >= 0).all(1)].unique(dim=0)


def _ranges(first: Tensor, count: Tensor) -> Tensor:
    """int64: the numbers from each `first`, so many as `count` says, one after the other."""
    start = first - (count.cumsum(0) - count)
    return start.repeat_interleave(count) + torch.arange(int(count.sum()))


def _find(known: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Wherever a value of `asked` stands in `known`, which is sorted: its place in both."""
    first = torch.searchsorted(known, asked)
    count = torch.searchsorted(known, asked, right=True) - first
    return torch.arange(len(asked)).repeat_interleave(count), _ranges(first, count)


def _carried(carriers: Tensor, assets: Tensor) -> tuple[Tensor, Tensor]:
    """The values that some assets carry: the place of each one's asset in `assets`, and itself."""
    place, found = _find(carriers[:, 0].contiguous(), assets)
    return place, carriers[found, 1]


def _meeting(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The places on the left and on the right that carry the same value, from `_carried`."""
    values, order = right[1].sort(stable=True)
    asked, found = _find(values, left[1])
    return left[0][asked], right[0][order[found]]


@dataclass(frozen=True)
class Relation:
    """What two modalities have to do with each other.

    Attributes:
        modalities: the left one and the right one.
        weight: of its loss.
        splits: which assets belong together, by split.
    """

    modalities: tuple[Modality, Modality]
    weight: float
    splits: Mapping[str, Pairs | Sharing]


Relations = dict[str, Relation]
Rows = Mapping[Modality, Tensor]  # the row of each sample's asset, -1 where it has none, [n]


def together(samples: pd.DataFrame, rows: Rows) -> Relations:
    """Of every two modalities, as `image–text`: the assets that samples have together."""
    return {
        f"{a}–{b}": Relation(
            (a, b), 1.0, {s: Pairs.of(rows[a][of], rows[b][of]) for s, of in _splits(samples)}
        )
        for a, b in combinations(MODALITIES, 2)
    }


def by_task(samples: pd.DataFrame, rows: Rows, tasks: Mapping[str, TaskSettings]) -> Relations:
    """Of every retrieval task: the assets that share a value of its column, the query's left.

    Raises:
        InputError: in the training split no two assets do.
    """
    found = {}
    for name, task in tasks.items():
        if task.kind == "retrieval":
            values = torch.tensor(samples[task.column].factorize()[0])  # null: -1
            queries, targets = rows[task.query], rows[task.target]
            sharing = {
                s: Sharing.of(queries[of], targets[of], values[of]) for s, of in _splits(samples)
            }
            if not len(sharing["train"].sides()[0]):
                raise InputError(
                    f"tasks.{name}: in the training split no {task.query} and no {task.target} "
                    f"share a value of column {task.column!r}, so there is nothing to learn. Mend "
                    "the task or ingest.splits; the data report counts what each split has"
                )
            found[name] = Relation((task.query, task.target), task.weight, sharing)
    return found


def _splits(samples: pd.DataFrame) -> list[tuple[str, Tensor]]:
    """Each split, and which samples are in it, bool [n]."""
    return [(split, torch.tensor((samples["split"] == split).to_numpy())) for split in SPLITS]
