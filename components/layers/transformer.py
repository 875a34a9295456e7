"""Transformer layers (Vaswani et al. 2017)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.layers.transformer_shape import Norm, TransformerShape


class Unpadding:
    """Where the tokens are that are not padding, so that per-token layers skip padding."""

    def __init__(self, mask: Tensor):
        self.rows = mask.flatten().nonzero().squeeze(1)  # int64 [n], places among B · T
        self.shape = mask.shape  # B, T

    def unpad(self, x: Tensor) -> Tensor:
        """[B, T, D] → [n, D]."""
        return x.flatten(0, 1).index_select(0, self.rows)

    def pad(self, x: Tensor) -> Tensor:
        """[n, D] → [B, T, D], zeros at padding."""
        (size, length), width = self.shape, x.shape[1]
        padded = x.new_zeros(size * length, width).index_copy(0, self.rows, x)
        return padded.view(size, length, width)

    def last(self, count: int) -> Tensor:
        """Return which of the n tokens are the last `count` of each sample: int64 [B · count].

        These must not be padding.
        """
        size, length = self.shape
        ends = torch.arange(1, size + 1, device=self.rows.device)[:, None] * length
        ends = ends + torch.arange(-count, 0, device=self.rows.device)  # [B, count]
        return torch.searchsorted(self.rows, ends.flatten())


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
        return self.out(self.attend(self.query(x), self.key_value(context), mask))

    def attend(self, query: Tensor, key_value: Tensor, mask: Tensor | None) -> Tensor:
        """The same between the linear maps: [B, T, D] and [B, S, 2 D] → [B, T, D]."""
        q = self._split(query)  # [B, h, T, d]
        k, v = map(self._split, key_value.chunk(2, dim=-1))  # [B, h, S, d]
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        return attended.transpose(1, 2).flatten(2)  # [B, T, D]

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, h, T, d]


class FeedForward(nn.Sequential):
    """A network 4 × as wide with a residual connection; its norm before it or after the sum."""

    def __init__(self, width: int, dropout: float, norm: Norm):
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )
        self.post = norm == "post"

    def forward(self, input: Tensor) -> Tensor:
        """[…, D] → […, D]."""
        norm, *network = self
        y = input if self.post else norm(input)
        for layer in network:
            y = layer(y)
        return norm(input + y) if self.post else input + y


class Block(nn.Module):
    """Self-attention, then a feed-forward network.

    Pre-norm, as GPT-2 (Radford et al. 2019): x + Attention(Norm(x)), then x + FeedForward(Norm(x)).
    Post-norm, section 3.1 of Vaswani et al.: Norm(x + Attention(x)), then Norm(x + FeedForward(x)).
    Both with GELU, as GPT and BERT have it, where Vaswani et al. have ReLU.
    """

    def __init__(self, width: int, heads: int, dropout: float, norm: Norm):
        super().__init__()
        self.post = norm == "post"
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, dropout, norm)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, unpadding: Unpadding, mask: Tensor, last: int = 0) -> Tensor:
        """Unpadded tokens [n, D] → [n, D]; only the `last` of each sample, if not 0: [B · last, D].

        `mask`, bool [B, 1, T or 1, T], is true where a query (row) may attend to a key (column).
        """
        normed = x if self.post else self.attention_norm(x)
        key_value = unpadding.pad(self.attention.key_value(normed))  # [B, T, 2 D]
        if last:
            ends = unpadding.last(last)
            query = self.attention.query(normed[ends]).unflatten(0, (-1, last))  # [B, last, D]
            attended = self.attention.attend(query, key_value, mask[:, :, -last:])
            x, attended = x[ends], attended.flatten(0, 1)  # [B · last, D]
        else:
            query = unpadding.pad(self.attention.query(normed))  # [B, T, D]
            attended = unpadding.unpad(self.attention.attend(query, key_value, mask))  # [n, D]
        x = x + self.dropout(self.attention.out(attended))
        return self.feed_forward(self.attention_norm(x) if self.post else x)


class Transformer(nn.Module):
    """A stack of blocks; the sum that pre-norm blocks leave is normalised at the end.

    If it is causal, a token attends only to itself and earlier ones, as in GPT.
    """

    def __init__(self, shape: TransformerShape, causal: bool = False):
        super().__init__()
        self.causal = causal
        size = shape.width, shape.heads, shape.dropout, shape.norm
        self.blocks = nn.ModuleList(Block(*size) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width) if shape.norm == "pre" else nn.Identity()

    def forward(self, x: Tensor, present: Tensor, last: bool = False) -> Tensor:
        """[B, T, D] → [B, T, D], zeros at padding: where `present`, bool [B, T], is false.

        With `last`, only the output of the last token, which must be present: → [B, 1, D].
        """
        mask = present[:, None, None, :]  # [B, 1, 1, T]
        if self.causal:
            size = x.shape[1]
            past = torch.ones(size, size, dtype=torch.bool, device=x.device).tril()  # [T, T]
            mask = mask & past | torch.eye(size, dtype=torch.bool, device=x.device)  # [B, 1, T, T]
        unpadding = Unpadding(present)
        x = unpadding.unpad(x)  # [n, D]
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, unpadding, mask, last=int(last and number == len(self.blocks)))
        return self.norm(x)[:, None] if last else unpadding.pad(self.norm(x))
