"""Features of a few assets, samples that have them, and small fusions."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from components.data.batches import Samples
from components.fusion.fusion import Fusion, FusionSize
from components.fusion.registry import FUSIONS
from components.fusion.settings import FUSION_SETTINGS
from components.layers.features import Features
from components.layers.transformer_shape import TransformerShape
from tests.support.tiny_model import FUSION_OPTIONS, PRESENT

ASSETS, SIZE = 4, 12  # per modality; samples
WIDTH = 8  # of features and of fused tokens
SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(PRESENT, size)]


def make_features(seed: int, scale: float = 1.0) -> dict[str, Features]:
    """Return random features of `ASSETS` assets per modality; lengths differ."""
    g = torch.Generator().manual_seed(seed)
    features = {}
    for m, size in zip(PRESENT, (4, 6, 5), strict=True):
        tokens = scale * torch.randn(ASSETS, size, WIDTH, generator=g)
        mask = torch.arange(size) < torch.arange(1, ASSETS + 1)[:, None]
        features[m] = Features(tokens, mask, scale * torch.randn(ASSETS, WIDTH, generator=g))
    return features


def make_rows(subset: Sequence[str] = PRESENT, seed: int = 0) -> dict[str, Tensor]:
    """Return rows of random assets for `SIZE` samples that have the modalities of a subset."""
    g = torch.Generator().manual_seed(seed)
    rows = {m: torch.randint(0, ASSETS, (SIZE,), generator=g) for m in PRESENT}
    return {m: r if m in subset else torch.full_like(r, -1) for m, r in rows.items()}


def mixed_rows() -> dict[str, Tensor]:
    """Return rows of one sample per subset of modalities, in the order of `SUBSETS`."""
    wanted = torch.tensor([[m in subset for m in PRESENT] for subset in SUBSETS])
    samples = Samples({m: r[: len(SUBSETS)] for m, r in make_rows().items()}, {})
    return dict(samples.keep(wanted).rows)


def make_fusion(name: str, norm: str = "pre") -> Fusion:
    """Return a fusion in evaluation mode, all its weights random."""
    torch.manual_seed(0)
    shape = TransformerShape(WIDTH, layers=1, heads=2, norm=norm)
    options = FUSION_SETTINGS[name](**FUSION_OPTIONS.get(name, {}))
    built = FUSIONS[name](FusionSize(PRESENT, WIDTH, shape), options)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return built.eval()
