"""Ways to fuse modalities into one sequence of tokens.

Each is a module with `forward(features, rows) -> Fused`, where `features` holds each distinct
asset once, [N, T, E], and `rows` says for each of B samples which asset is its own, -1 for none.
Adding one is a file here and a line in `FUSIONS`.
"""

from torch import nn

from components.fusion.attention import AttentionFusion
from components.fusion.bilinear import BilinearFusion
from components.fusion.bottleneck import BottleneckFusion
from components.fusion.concat import ConcatFusion
from components.fusion.gated import GatedFusion
from components.fusion.late import LateFusion
from components.fusion.tensor import TensorFusion

FUSIONS: dict[str, type[nn.Module]] = {
    "attention": AttentionFusion,
    "bilinear": BilinearFusion,
    "bottleneck": BottleneckFusion,
    "concat": ConcatFusion,
    "gated": GatedFusion,
    "late": LateFusion,
    "tensor": TensorFusion,
}
MUTUAL = {"concat"}  # fusions whose tokens see each other in the Transformer, not the past alone
