"""A causal decoder that writes texts, token by token, about what the model has read."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from components.layers.transformer import Attention, FeedForward
from components.model.settings import ModelSettings, Norm
from components.tasks.generation.labels import END


@dataclass
class State:
    """What a writer knows of B texts that it is writing.

    Attributes:
        read: for each block the keys and values of the tokens that were read, [B, S, 2 D].
        mask: bool [B, 1, 1, S], where such a token is.
        past: for each block the keys and values of what was written, [B, t, 2 D] (the KV cache).
        length: t.
    """

    read: list[Tensor]
    mask: Tensor
    past: list[Tensor | None]
    length: int = 0

    def pick(self, rows: Tensor) -> None:
        """Go on with some of the texts, rows int64 [B'], in place of all; what was read stays."""
        self.past = [past[rows] for past in self.past]


class WriterBlock(nn.Module):
    """A decoder's layer (Vaswani et al. 2017): attention to what is written, attention to what was
    read, then a feed-forward network; each with its norm where `Block` has it.
    """

    def __init__(self, width: int, heads: int, dropout: float, norm: Norm):
        super().__init__()
        self.post = norm == "post"
        self.own_norm, self.read_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.own = Attention(width, heads, dropout)
        self.read = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, dropout, norm)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, number: int, state: State, causal: Tensor | None) -> Tensor:
        """New tokens [B, T, D] → the same, as the block `number`; their keys join the state."""
        first = x if self.post else self.own_norm(x)
        new, past = self.own.key_value(first), state.past[number]
        state.past[number] = keys = new if past is None else torch.cat([past, new], 1)
        found = self.own.out(self.own.attend(self.own.query(first), keys, causal))
        x = x + self.dropout(found)
        if self.post:
            second = x = self.own_norm(x)
        else:
            second = self.read_norm(x)
        found = self.read.attend(self.read.query(second), state.read[number], state.mask)
        x = x + self.dropout(self.read.out(found))
        return self.feed_forward(self.read_norm(x) if self.post else x)


class Writer(nn.Module):
    """Gives the logits of each next token; its embedding is the output's matrix too (as GPT-2).

    Args:
        outputs: tokens that there are.
        longest: tokens of a text.
        options: width, heads, layers and norm, those of the Transformer.
    """

    def __init__(self, outputs: int, longest: int, options: ModelSettings):
        super().__init__()
        width = options.width
        self.embedding = nn.Embedding(outputs, width)
        self.position = nn.Parameter(torch.empty(longest, width))
        for table in (self.embedding.weight, self.position):
            nn.init.normal_(table, std=width**-0.5)
        self.blocks = nn.ModuleList(
            WriterBlock(width, options.heads, options.dropout, options.norm)
            for _ in range(options.layers)
        )
        self.norm = nn.LayerNorm(width) if options.norm == "pre" else nn.Identity()

    def forward(self, tokens: Tensor, mask: Tensor) -> "Draft":
        """Tokens to write about [B, S, D], those that are there (bool [B, S]) → texts to write."""
        return Draft(self, tokens, mask)

    def start(self, tokens: Tensor, mask: Tensor) -> State:
        """Begin to write about tokens [B, S, D] that are there where `mask` [B, S] is true."""
        read = [block.read.key_value(tokens) for block in self.blocks]
        return State(read, mask[:, None, None, :], [None] * len(self.blocks))

    def step(self, state: State, written: Tensor) -> Tensor:
        """The logits of what follows each of the tokens just written: [B, T] → [B, T, V]."""
        size = written.shape[1]
        end = state.length + size
        causal = None  # one token sees all before it
        if size > 1:
            seen = torch.ones(size, end, dtype=torch.bool, device=written.device)
            causal = seen.tril(state.length)  # [T, t + T]
        x = self.embedding(written) + self.position[state.length : end]  # [B, T, D]
        for number, block in enumerate(self.blocks):
            x = block(x, number, state, causal)
        state.length = end
        return self.norm(x) @ self.embedding.weight.T


@dataclass(frozen=True)
class Draft:
    """B texts to write: what the head of a task gives that is no logits until tokens are there.

    Callers treat it as the logits of other heads: they pick rows, and ask for device and precision.

    Attributes:
        writer: who writes them.
        tokens: float [B, S, D], to write about.
        mask: bool [B, S], true where such a token is there.
    """

    writer: Writer = field(repr=False)
    tokens: Tensor
    mask: Tensor

    def __getitem__(self, rows: Tensor) -> "Draft":
        """Some of the texts, by their rows or by bool [B]."""
        return Draft(self.writer, self.tokens[rows], self.mask[rows])

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def device(self) -> torch.device:
        """Where it is written."""
        return self.tokens.device

    def float(self) -> "Draft":
        """The same in single precision."""
        return Draft(self.writer, self.tokens.float(), self.mask)

    def spread(self, places: Tensor) -> "Draft":
        """The same in the rows where `places` (bool [B, M]) is true: [V, S, D] → [B, M, S, D]."""
        tokens = self.tokens.new_zeros(*places.shape, *self.tokens.shape[1:])
        mask = self.mask.new_zeros(*places.shape, *self.mask.shape[1:])
        tokens[places], mask[places] = self.tokens, self.mask
        return Draft(self.writer, tokens, mask)

    def logits(self, written: Tensor) -> Tensor:
        """The logits of every token of texts [B, T], each from those before it: [B, T, V]."""
        first = written.new_full((len(written), 1), END)
        state = self.writer.start(self.tokens, self.mask)
        return self.writer.step(state, torch.cat([first, written[:, :-1]], 1))
