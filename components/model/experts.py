"""What each encoder says by itself: the heads of its own training, which the model starts from."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from components.fusion.fusion import RowsByModality, gather
from components.layers.features import Features
from components.layers.named_modules import NamedModules
from components.tasks.task import Task


class Experts(nn.Module):
    """Linear heads over the pooled features of single modalities, and how much the rest counts.

    Args:
        widths: of the features, by modality.
        tasks: by name, of which some encoder knows the label.
        known: tasks that the encoder of a modality knows.
    """

    def __init__(
        self,
        widths: Mapping[str, int],
        tasks: Mapping[str, Task],
        known: Mapping[str, tuple[str, ...]],
    ):
        super().__init__()
        self.tasks = dict(tasks)
        self.heads = NamedModules()
        for name, task in tasks.items():
            experts = (m for m, names in known.items() if name in names)
            heads = {m: nn.Linear(widths[m], task.outputs) for m in experts}
            self.heads.add_module(name, nn.ModuleDict(heads))
        self.heads.requires_grad_(False)
        # Of what fusion adds: nothing at first (Bachlechner et al. 2021, ReZero).
        self.gain = nn.Parameter(torch.zeros(len(tasks)))

    def head(self, task: str, modality: str) -> nn.Module:
        """Return the head of a task that the encoder of a modality knows."""
        heads = self.heads[task]
        assert isinstance(heads, nn.ModuleDict)
        return heads[modality]

    def forward(
        self, logits: Mapping[str, Tensor], features: Mapping[str, Features], rows: RowsByModality
    ) -> dict[str, Tensor]:
        """Return by task the average of the experts of each sample's modalities, plus `logits`.

        See `Task.average`; where no expert's modality is present, they say the same of everything.
        """
        result = dict(logits)
        for gain, (name, heads) in zip(self.gain, self.heads.items(), strict=True):
            assert isinstance(heads, nn.ModuleDict)
            given = [m for m in heads if m in features]
            if not given:
                continue
            votes = torch.stack([rows[m] >= 0 for m in given], 1)  # [B, M]
            said = [gather(heads[m](features[m].pooled), rows[m]) for m in given]
            said = torch.stack(said, 1) * votes[..., None]  # [B, M, K]
            votes = votes | ~votes.any(1, keepdim=True)
            result[name] = self.tasks[name].average(said, votes) + gain * logits[name]
        return result
