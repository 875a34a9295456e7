"""Size and form of a Transformer, without torch, so that checking settings takes no seconds."""

from dataclasses import dataclass
from typing import Literal

Norm = Literal["pre", "post"]


@dataclass(frozen=True)
class TransformerShape:
    """Size and form of a Transformer."""

    width: int  # D
    layers: int  # number of blocks
    heads: int  # of each attention; divides the width
    dropout: float = 0.0  # rate
    norm: Norm = "pre"  # see `Block`
