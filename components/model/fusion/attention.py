"""Cross-attention: each modality asks each other one."""

from itertools import permutations

from torch import nn

from components.config.section import MODALITIES
from components.config.settings import ModelSettings
from components.model.base.features import masked_mean
from components.model.base.transformer import Attention
from components.model.fusion.fused import FeaturesByModality, Fused, RowsByModality, pick, stack
from components.model.fusion.tokens import Tokens


class AttentionFusion(nn.Module):
    """One modality's tokens as queries over another's keys and values (Lu et al. 2019, ViLBERT).

    One token an ordered pair of modalities: the mean of what its queries found; beside one token
    a modality.
    """

    PAIRS = tuple(permutations(MODALITIES, 2))

    def __init__(self, width_in: int, options: ModelSettings):
        super().__init__()
        width = options.width
        self.single = nn.ModuleDict({m: nn.Linear(width_in, width) for m in MODALITIES})
        self.tokens = Tokens(width_in, width)
        self.attention = nn.ModuleDict(
            {f"{a}_{b}": Attention(width, options.heads, options.dropout) for a, b in self.PAIRS}
        )

    def forward(self, features: FeaturesByModality, rows: RowsByModality) -> Fused:
        """Features [N, T, E] and rows [B] → nine tokens; those of missing modalities are masked."""
        here = [m for m in MODALITIES if m in features]
        present = {m: rows[m] >= 0 for m in here}  # [B]
        tokens = [pick(self.single[m](features[m].pooled), rows[m]) for m in here]  # [B, D]
        masks = [present[m] for m in here]
        mapped = {m: pick(self.tokens(m, features[m].tokens), rows[m]) for m in here}  # [B, T, D]
        there = {m: pick(features[m].mask, rows[m]) for m in here}  # [B, T]
        for a, b in self.PAIRS:
            if a in mapped and b in mapped:
                keys = there[b][:, None, None, :]  # [B, 1, 1, S]
                found = self.attention[f"{a}_{b}"](mapped[a], mapped[b], keys)  # [B, T, D]
                tokens.append(masked_mean(mapped[a] + found, there[a]))  # [B, D]
                masks.append(present[a] & present[b])
        return stack(tokens, masks)
