"""Linear heads over plain features, which convex optimisation finds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn

from components.data.assets import AssetTensors
from components.data.samples import SPLIT, SPLITS, asset_column
from components.huggingface.encoder_file import Heads
from components.layers.plain import PLAIN
from components.tasks.class_task import Loss, balanced_loss, sampled_classes
from components.tasks.labels import Vocabulary
from components.tasks.registry import head_of, with_heads
from components.tasks.settings import TaskSettings
from components.training.class_sampling import draw_evenly
from components.training.lbfgs import minimise

PENALTIES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # of the squares of weights, falling
USUAL_PENALTY = 1e-4  # where no sample of the validation split has a label


@dataclass(frozen=True)
class Labelled:
    """Samples of a split whose label is known."""

    features: Tensor  # plain features of all assets, float [N, F]
    rows: Tensor  # the asset of each sample, int64 [n]
    targets: Tensor  # [n, …]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Tensor) -> "Labelled":
        """Return some of the samples."""
        return Labelled(self.features, self.rows[index], self.targets[index])

    def loss(self, head: nn.Module, loss: Loss) -> Tensor:
        """Return the mean loss of a head; each asset is looked at once."""
        return loss(head(self.features)[self.rows], self.targets)


def plain_heads(
    modality: str,
    assets: AssetTensors,
    samples: pd.DataFrame,
    tasks: Mapping[str, TaskSettings],
    vocabulary: Mapping[str, Vocabulary],
) -> Heads:
    """Return a head over plain features per task.

    A task has one if the modality alone decides it or if it takes several, unless its labels are
    texts to be written. `assets` have their plain features.
    """
    rows, heads = assets.rows(samples[asset_column(modality)]), {}
    splits = {split: torch.tensor((samples[SPLIT] == split).to_numpy()) for split in SPLITS}
    for name, settings in with_heads(tasks).items():
        kind, deciding = head_of(settings.kind), settings.sufficient_modalities
        if kind.IS_GENERATIVE or (deciding and modality not in deciding):
            continue
        task = kind(**vocabulary[name])
        targets = task.targets(samples[settings.column])
        labelled = Labelled(assets.tensors[PLAIN], rows, targets)
        usable = (rows >= 0) & task.known(targets)
        train, validation = (labelled[usable & splits[s]] for s in ("train", "validation"))
        if len(train) and (classes := sampled_classes(task, settings, train.targets)) is not None:
            train = train[draw_evenly(classes, len(train))]
        loss = balanced_loss(task, settings, train.targets)
        head = fit_head(loss, task.outputs, train, validation)
        heads["plain", name] = head.state_dict()
    return heads


def fit_head(loss: Loss, outputs: int, train: Labelled, validation: Labelled) -> nn.Linear:
    """Return the head of the penalty that has the least validation loss, calibrated.

    A head that is too sure of what it says may still be the one that is right most often, so each
    is calibrated before they are compared. Without training samples a head says nothing, and
    without any for validation the penalty is `USUAL_PENALTY`.
    """
    head = nn.Linear(train.features.shape[1], outputs)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    if not len(train):
        return head
    if not len(validation):
        minimise_penalised(head, loss, train, USUAL_PENALTY)
        return head
    least, best = math.inf, head.state_dict()
    for penalty in PENALTIES:
        minimise_penalised(head, loss, train, penalty)
        with torch.no_grad():
            said = head(validation.features)[validation.rows]
        scale = fit_scale_of_logits(said, validation.targets, loss)
        found = float(loss(scale * said, validation.targets))
        if found < least:
            least = found
            best = {name: scale * value for name, value in head.state_dict().items()}
    head.load_state_dict(best)
    return head


def fit_scale_of_logits(logits: Tensor, targets: Tensor, loss: Loss) -> Tensor:
    """Return the factor of logits [n, outputs] that minimises their loss, a positive scalar.

    Temperature scaling (Guo et al. 2017); the prior of its logarithm is a standard normal
    distribution, so that a few samples that are all right do not make it infinite.
    """
    change = torch.zeros((), requires_grad=True)
    prior = 1 / (2 * len(targets))
    minimise([change], lambda: loss(change.exp() * logits, targets) + prior * change.square())
    return change.detach().exp()


def minimise_penalised(head: nn.Linear, loss: Loss, train: Labelled, penalty: float) -> None:
    """Minimise a head's loss and `penalty` times the squares of its weights, from where it is."""
    minimise(
        head.parameters(), lambda: train.loss(head, loss) + penalty * head.weight.square().sum()
    )
