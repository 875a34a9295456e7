"""The registry of fusions; their options are in `components.fusion.settings`."""

from components.fusion.attention import AttentionFusion
from components.fusion.bilinear import BilinearFusion
from components.fusion.bottleneck import BottleneckFusion
from components.fusion.concat import ConcatFusion
from components.fusion.fusion import Fusion
from components.fusion.gated import GatedFusion
from components.fusion.late import LateFusion
from components.fusion.tensor import TensorFusion

FUSIONS: dict[str, type[Fusion]] = {
    "bilinear": BilinearFusion,
    "gated": GatedFusion,
    "tensor": TensorFusion,
    "concat": ConcatFusion,
    "attention": AttentionFusion,
    "bottleneck": BottleneckFusion,
    "late": LateFusion,
}
