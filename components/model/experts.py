"""What single modalities say by themselves, and how much each of them counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from components.fusion.fusion import RowsByModality, gather
from components.layers.features import Features
from components.layers.named_modules import NamedModules
from components.tasks.task import Task

PARTS = ("pooled", "plain")  # features that heads read: of an encoder, and what needs no training
Known = Mapping[str, Mapping[str, Sequence[str]]]  # modality → part → tasks that its heads know


@dataclass(frozen=True)
class Opinions:
    """What E experts of a task say of B samples."""

    logits: Tensor  # [B, E, outputs]
    given: Tensor  # bool [B, E], whether the sample has the modality
    columns: Tensor  # int64 [E], of `Experts.shares`

    def __getitem__(self, rows) -> "Opinions":
        """Return what they say of some of the samples."""
        return Opinions(self.logits[rows], self.given[rows], self.columns)

    def pool(self, task: Task, shares: Tensor) -> Tensor:
        """Return the logits of all together, [B, outputs], with the shares [sources] of each."""
        return task.pool(self.logits, shares[self.columns] * self.given)


class Experts(nn.Module):
    """Linear heads over features of single modalities, which were learnt before.

    Args:
        widths: of the features, by modality and part.
        tasks: by name, those that some head knows.
        known: the heads.
    """

    def __init__(
        self, widths: Mapping[tuple[str, str], int], tasks: Mapping[str, Task], known: Known
    ):
        super().__init__()
        self.tasks = dict(tasks)
        self.sources = [(m, part) for m, parts in known.items() for part in PARTS if part in parts]
        self.heads = NamedModules()
        shares = torch.zeros(len(tasks), len(self.sources))
        for row, (name, task) in enumerate(tasks.items()):
            able = [(m, part) for m, part in self.sources if name in known[m][part]]
            heads = {_key(*source): nn.Linear(widths[source], task.outputs) for source in able}
            self.heads.add_module(name, nn.ModuleDict(heads))
            of_modality = Counter(m for m, _ in able)
            for m, part in able:
                shares[row, self.sources.index((m, part))] = 1 / of_modality[m]
        self.heads.requires_grad_(False)
        self.register_buffer("shares", shares)  # of what each head says, [tasks, sources]
        self.shares: Tensor
        # Of what fusion adds: nothing at first (Bachlechner et al. 2021, ReZero).
        self.gain = nn.Parameter(torch.zeros(len(tasks)))

    def head(self, task: str, modality: str, part: str) -> nn.Module:
        """Return a head."""
        return self._heads(task)[_key(modality, part)]

    def _heads(self, task: str) -> nn.ModuleDict:
        heads = self.heads[task]
        assert isinstance(heads, nn.ModuleDict)
        return heads

    def opinions(
        self, task: str, features: Mapping[str, Features], rows: RowsByModality
    ) -> Opinions | None:
        """Return what the experts of a task say; None if none of their modalities is given."""
        heads, logits, given, columns = self._heads(task), [], [], []
        for column, (m, part) in enumerate(self.sources):
            if (key := _key(m, part)) in heads and m in features:
                logits.append(gather(heads[key](getattr(features[m], part)), rows[m]))
                given.append(rows[m] >= 0)
                columns.append(column)
        if not columns:
            return None
        return Opinions(torch.stack(logits, 1), torch.stack(given, 1), torch.tensor(columns))

    def forward(
        self, logits: Mapping[str, Tensor], features: Mapping[str, Features], rows: RowsByModality
    ) -> dict[str, Tensor]:
        """Return by task what experts and fusion say together, see `Task.pool`.

        Of a sample without any expert's modality fusion speaks alone.
        """
        result = dict(logits)
        for row, (name, task) in enumerate(self.tasks.items()):
            said = self.opinions(name, features, rows)
            if said is not None:
                together = said.pool(task, self.shares[row]) + self.gain[row] * logits[name]
                is_alone = ~said.given.any(1, keepdim=True)  # fusion, whoever else is in the batch
                result[name] = torch.where(is_alone, logits[name], together)
        return result


def _key(modality: str, part: str) -> str:
    return f"{modality}_{part}"
