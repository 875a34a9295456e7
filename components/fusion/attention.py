"""Cross-attention between every two modalities."""

from itertools import permutations

from torch import nn

from components.fusion.fusion import Fusion, FusionOutput, FusionSize, gather, stack
from components.fusion.modality_embedding import ModalityEmbedding
from components.fusion.settings import AttentionSettings
from components.layers.features import masked_mean
from components.layers.transformer import Attention


class AttentionFusion(Fusion):
    """The tokens of one modality as queries over those of another: co-attention, section 2.2 of
    Lu et al. 2019, ViLBERT.

    Mean over T of X_a + softmax(Q Kᵀ/√d) V with Q = X_a W_q, K = X_b W_k, V = X_b W_v: one token
    per ordered pair of modalities, and one per modality.
    """

    def __init__(self, size: FusionSize, options: AttentionSettings):
        super().__init__(size, options)
        width, shape = size.width, size.transformer
        self.single = nn.ModuleDict({m: nn.Linear(size.width_in, width) for m in self.modalities})
        self.tokens = ModalityEmbedding(self.modalities, size.width_in, width)
        self._layers = {
            f"{a}_{b}": Attention(width, shape.heads, shape.dropout)
            for a, b in permutations(self.modalities, 2)
        }
        self.attention = nn.ModuleDict(self._layers)

    def forward(self, features, rows) -> FusionOutput:
        given = self.given(features)
        present = {m: rows[m] >= 0 for m in given}  # [B]
        tokens = [gather(self.single[m](features[m].pooled), rows[m]) for m in given]  # [B, D]
        masks = list(present.values())
        mapped = {m: self.tokens(m, features[m].tokens) for m in given}  # [N, T, D]
        means = {m: masked_mean(mapped[m], features[m].mask) for m in given}  # [N, D]
        there = {m: gather(features[m].mask, rows[m]) for m in given}  # [B, T]
        for a, b in permutations(given, 2):
            layer = self._layers[f"{a}_{b}"]
            query = gather(layer.query(mapped[a]), rows[a])  # [B, T, D]
            key_value = gather(layer.key_value(mapped[b]), rows[b])  # [B, S, 2 D]
            found = layer.attend(query, key_value, there[b][:, None, None, :])  # [B, T, D]
            found = layer.out(masked_mean(found, there[a]))  # a mean is linear too: [B, D]
            tokens.append(gather(means[a], rows[a]) + found)
            masks.append(present[a] & present[b])
        return stack(tokens, masks)
