"""Cross-attention: each modality asks each other one."""

from itertools import permutations

from torch import nn

from components.fusion.modality_embedding import Tokens
from components.fusion.output import FeaturesByModality, Fused, RowsByModality, pick, stack
from components.layers.features import masked_mean
from components.layers.transformer import Attention
from components.modalities.registry import MODALITIES
from components.model.settings import ModelSettings


class AttentionFusion(nn.Module):
    """One modality's tokens as queries over another's keys and values: co-attention, section 2.2 of
    Lu et al. 2019, ViLBERT.

    mean over T of X_a + softmax(Q Kᵀ/√d) V with Q = X_a W_q, K = X_b W_k, V = X_b W_v: one token an
    ordered pair of modalities, beside one token a modality.
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
        mapped = {m: self.tokens(m, features[m].tokens) for m in here}  # [N, T, D]
        means = {m: masked_mean(mapped[m], features[m].mask) for m in here}  # [N, D]
        there = {m: pick(features[m].mask, rows[m]) for m in here}  # [B, T]
        for a, b in self.PAIRS:
            if a in mapped and b in mapped:
                layer = self.attention[f"{a}_{b}"]
                query = pick(layer.query(mapped[a]), rows[a])  # [B, T, D]
                key_value = pick(layer.key_value(mapped[b]), rows[b])  # [B, S, 2 D]
                found = layer.attend(query, key_value, there[b][:, None, None, :])  # [B, T, D]
                found = layer.out(masked_mean(found, there[a]))  # its mean is linear too: [B, D]
                tokens.append(pick(means[a], rows[a]) + found)
                masks.append(present[a] & present[b])
        return stack(tokens, masks)
