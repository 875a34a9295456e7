"""A causal decoder that writes texts, token by token, about what the model has read."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from components.layers.transformer import Attention, FeedForward
from components.layers.transformer_shape import Norm, TransformerShape
from components.tasks.generation.labels import END


@dataclass
class DecoderState:
    """What a decoder knows of B texts that it is writing."""

    context: list[Tensor]  # per block, keys and values of the tokens that were read, [B, S, 2 D]
    mask: Tensor  # bool [B, 1, 1, S], false at padding of these tokens
    cache: list[Tensor | None]  # per block, keys and values of the tokens written, [B, t, 2 D]
    length: int = 0  # t

    def select(self, rows: Tensor) -> None:
        """Continue with some of the texts, rows int64 [B'], instead of all."""
        self.cache = [cached if cached is None else cached[rows] for cached in self.cache]


class DecoderBlock(nn.Module):
    """A decoder layer (Vaswani et al. 2017): self-attention, cross-attention, feed-forward network.

    Norms are placed as in `Block`.
    """

    def __init__(self, width: int, heads: int, dropout: float, norm: Norm):
        super().__init__()
        self.post = norm == "post"
        self.own_norm, self.read_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.own = Attention(width, heads, dropout)
        self.read = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, dropout, norm)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, number: int, state: DecoderState, causal: Tensor | None) -> Tensor:
        """Tokens [B, T, D] → [B, T, D].

        Their keys and values join the cache of block `number` in the state. `causal` is bool
        [T, t + T], true where a token may attend; None: everywhere.
        """
        first = x if self.post else self.own_norm(x)
        new, cached = self.own.key_value(first), state.cache[number]
        keys = new if cached is None else torch.cat([cached, new], 1)
        state.cache[number] = keys
        attended = self.own.attend(self.own.query(first), keys, causal)
        x = x + self.dropout(self.own.out(attended))
        if self.post:
            second = x = self.own_norm(x)
        else:
            second = self.read_norm(x)
        attended = self.read.attend(self.read.query(second), state.context[number], state.mask)
        x = x + self.dropout(self.read.out(attended))
        return self.feed_forward(self.read_norm(x) if self.post else x)


class TextDecoder(nn.Module):
    """Returns logits of each next token; its embedding is the output matrix too, as in GPT-2."""

    def __init__(self, vocab_size: int, max_tokens: int, shape: TransformerShape):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, shape.width)
        self.position = nn.Parameter(torch.empty(max_tokens, shape.width))
        for table in (self.embedding.weight, self.position):
            nn.init.normal_(table, std=shape.width**-0.5)
        size = shape.width, shape.heads, shape.dropout, shape.norm
        self.blocks = nn.ModuleList(DecoderBlock(*size) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width) if shape.norm == "pre" else nn.Identity()

    def forward(self, tokens: Tensor, mask: Tensor) -> "DecoderInput":
        """Tokens to write about [B, S, D] and their mask, bool [B, S] → texts to write."""
        return DecoderInput(self, tokens, mask)

    def start(self, tokens: Tensor, mask: Tensor) -> DecoderState:
        """Return the state before the first token, for tokens [B, S, D] and their mask [B, S]."""
        # A ModuleList does not know the class of its modules.
        context = [block.read.key_value(tokens) for block in self.blocks]  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
        return DecoderState(context, mask[:, None, None, :], [None] * len(self.blocks))

    def step(self, state: DecoderState, written: Tensor) -> Tensor:
        """Return the logits of what follows each new token: [B, T] → [B, T, V]."""
        size = written.shape[1]
        end = state.length + size
        causal = None  # one token attends to all before it
        if size > 1:
            visible = torch.ones(size, end, dtype=torch.bool, device=written.device)
            causal = visible.tril(state.length)  # [T, t + T]
        x = self.embedding(written) + self.position[state.length : end]  # [B, T, D]
        for number, block in enumerate(self.blocks):
            x = block(x, number, state, causal)
        state.length = end
        return self.norm(x) @ self.embedding.weight.T


@dataclass(frozen=True)
class DecoderInput:
    """B texts to write: the output of a generative head, from which logits follow token by token.

    Callers treat it as the logits of other heads: they index it, and ask for device and precision.
    """

    decoder: TextDecoder = field(repr=False)
    tokens: Tensor  # float [B, S, D], to write about
    mask: Tensor  # bool [B, S], false at padding

    def __getitem__(self, rows: Tensor) -> "DecoderInput":
        """Return some of the texts, by rows or by bool [B]."""
        return DecoderInput(self.decoder, self.tokens[rows], self.mask[rows])

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def device(self) -> torch.device:
        """Device of the tokens."""
        return self.tokens.device

    def float(self) -> "DecoderInput":
        """Return the same in single precision."""
        return DecoderInput(self.decoder, self.tokens.float(), self.mask)

    def scatter(self, places: Tensor) -> "DecoderInput":
        """Return the same in the rows where `places`, bool [B, M], is true: [V, …] → [B, M, …]."""
        tokens = self.tokens.new_zeros(*places.shape, *self.tokens.shape[1:])
        mask = self.mask.new_zeros(*places.shape, *self.mask.shape[1:])
        tokens[places], mask[places] = self.tokens, self.mask
        return DecoderInput(self.decoder, tokens, mask)

    def teacher_forced_logits(self, texts: Tensor) -> Tensor:
        """Return the logits of each token of texts given those before it: [B, T] → [B, T, V]."""
        first = texts.new_full((len(texts), 1), END)
        state = self.decoder.start(self.tokens, self.mask)
        return self.decoder.step(state, torch.cat([first, texts[:, :-1]], 1))
