"""Transformer layers (Vaswani et al. 2017), pre-norm as in GPT-2 (Radford et al. 2019)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head scaled dot-product attention: softmax(QKᵀ/√d)V, equation 1 of Vaswani et al."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """`x` [B, T, D] attends to `context` [B, S, D] where `mask` [B, 1, T or 1, S] is true."""
        q = self._split(self.query(x))  # [B, h, T, d]
        k, v = map(self._split, self.key_value(context).chunk(2, dim=-1))  # [B, h, S, d]
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return self.out(attended.transpose(1, 2).flatten(2))  # [B, T, D]

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, h, T, d]


class Block(nn.Module):
    """x + Attention(Norm(x)), then x + FeedForward(Norm(x)); the feed-forward is 4 × as wide."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None, last: bool = False) -> Tensor:
        """[B, T, D] → [B, T, D]; `mask` is true where a query (row) may see a key (column).

        With `last` only the last token's output is computed, [B, 1, D].
        """
        normed = self.attention_norm(x)
        if last:
            x, query = x[:, -1:], normed[:, -1:]
            mask = mask if mask is None else mask[:, :, -1:]
        else:
            query = normed
        x = x + self.dropout(self.attention(query, normed, mask))
        return x + self.feed_forward(x)


class Transformer(nn.Module):
    """A stack of blocks and a last layer norm.

    Args:
        causal: a token sees itself and those before it, as in GPT; else all of them.
    """

    def __init__(self, width: int, layers: int, heads: int, dropout: float, causal: bool = False):
        super().__init__()
        self.causal = causal
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, present: Tensor, last: bool = False) -> Tensor:
        """[B, T, D] → [B, T, D]; places where `present` [B, T] is false are not attended to.

        With `last` only the last token's output is given, [B, 1, D].
        """
        mask = present[:, None, None, :]  # [B, 1, 1, T]
        if self.causal:
            size = x.shape[1]
            past = torch.ones(size, size, dtype=torch.bool, device=x.device).tril()  # [T, T]
            mask = mask & past | torch.eye(size, dtype=torch.bool, device=x.device)  # [B, 1, T, T]
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, mask, last=last and number == len(self.blocks))
        return self.norm(x)
