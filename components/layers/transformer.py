"""Transformer layers (Vaswani et al. 2017)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.model.settings import Norm


@dataclass(frozen=True)
class Places:
    """Where the tokens that are there stand: layers that see one token at a time skip the others.

    Attributes:
        rows: int64 [n], among the B · T places.
        shape: B, T.
    """

    rows: Tensor
    shape: tuple[int, int]

    @classmethod
    def of(cls, present: Tensor) -> "Places":
        """Of bool [B, T], true where a token is there."""
        return cls(present.flatten().nonzero().squeeze(1), tuple(present.shape))

    def pack(self, x: Tensor) -> Tensor:
        """The tokens that are there, one after the other: [B, T, D] → [n, D]."""
        return x.flatten(0, 1).index_select(0, self.rows)

    def spread(self, x: Tensor) -> Tensor:
        """The inverse, with zeros where no token is: [n, D] → [B, T, D]."""
        (size, length), width = self.shape, x.shape[1]
        whole = x.new_zeros(size * length, width).index_copy(0, self.rows, x)
        return whole.view(size, length, width)

    def last(self, count: int = 1) -> Tensor:
        """int64 [B · count]: which of the n are each sample's last tokens; they must be there."""
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
    """A network 4 × as wide, added to what it reads, with the norm before it or after the sum."""

    def __init__(self, width: int, dropout: float, norm: Norm):
        super().__init__(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
            nn.Dropout(dropout),
        )
        self.post = norm == "post"

    def forward(self, x: Tensor) -> Tensor:
        """[…, D] → the same."""
        norm, *network = self
        y = x if self.post else norm(x)
        for layer in network:
            y = layer(y)
        return norm(x + y) if self.post else x + y


class Block(nn.Module):
    """Attention, then a feed-forward network.

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

    def forward(self, x: Tensor, places: Places, mask: Tensor, last: int = 0) -> Tensor:
        """The tokens at `places` [n, D] → the same.

        Args:
            mask: bool [B, 1, T or 1, T], true where a query (row) may see a key (column).
            last: only so many last tokens of each sample are computed: [n, D] → [B · last, D];
                0: all.
        """
        read = x if self.post else self.attention_norm(x)
        key_value = places.spread(self.attention.key_value(read))  # [B, T, 2 D]
        if last:
            ends = places.last(last)
            query = self.attention.query(read[ends]).unflatten(0, (-1, last))  # [B, last, D]
            attended = self.attention.attend(query, key_value, mask[:, :, -last:])
            x, attended = x[ends], attended.flatten(0, 1)  # [B · last, D]
        else:
            query = places.spread(self.attention.query(read))  # [B, T, D]
            attended = places.pack(self.attention.attend(query, key_value, mask))  # [n, D]
        x = x + self.dropout(self.attention.out(attended))
        return self.feed_forward(self.attention_norm(x) if self.post else x)


class Transformer(nn.Module):
    """A stack of blocks; pre-norm ones leave a sum that is not normalised, so a layer norm follows.

    Args:
        causal: a token sees itself and those before it, as in GPT; else all of them.
        norm: pre or post, see `Block`.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
        causal: bool = False,
        norm: Norm = "pre",
    ):
        super().__init__()
        self.causal = causal
        self.blocks = nn.ModuleList(Block(width, heads, dropout, norm) for _ in range(layers))
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()

    def forward(self, x: Tensor, present: Tensor, last: bool = False) -> Tensor:
        """[B, T, D] → [B, T, D].

        Args:
            present: bool [B, T]; a place where it is false is not attended to, and becomes zeros.
            last: only the last token's output is given, [B, 1, D]; that token is always there.
        """
        mask = present[:, None, None, :]  # [B, 1, 1, T]
        if self.causal:
            size = x.shape[1]
            past = torch.ones(size, size, dtype=torch.bool, device=x.device).tril()  # [T, T]
            mask = mask & past | torch.eye(size, dtype=torch.bool, device=x.device)  # [B, 1, T, T]
        places = Places.of(present)
        x = places.pack(x)  # [n, D]
        for number, block in enumerate(self.blocks, start=1):
            x = block(x, places, mask, last=int(last and number == len(self.blocks)))
        return self.norm(x)[:, None] if last else places.spread(self.norm(x))
