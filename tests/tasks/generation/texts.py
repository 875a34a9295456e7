"""A small decoder with random weights, and what it writes about."""

import torch

from components.layers.transformer_shape import Norm, TransformerShape
from components.tasks.generation.decoder import DecoderInput, TextDecoder

SIZE, TOKENS_READ, MAX_TOKENS, VOCAB_SIZE = 5, 4, 6, 7


def shape(width: int = 8, norm: Norm = "pre") -> TransformerShape:
    return TransformerShape(width, layers=2, heads=2, norm=norm)


def make_decoder(
    vocab_size: int = VOCAB_SIZE, max_tokens: int = MAX_TOKENS, norm: Norm = "pre"
) -> TextDecoder:
    """Return a decoder with weights large enough that its texts differ."""
    torch.manual_seed(0)
    decoder = TextDecoder(vocab_size, max_tokens, shape(norm=norm))
    for parameter in (p for p in decoder.parameters() if p.ndim > 1):
        torch.nn.init.normal_(parameter, std=0.7)
    return decoder.eval()


def make_input(decoder: TextDecoder, size: int = SIZE, seed: int = 0) -> DecoderInput:
    """Return random tokens to write about, some of them padding."""
    g = torch.Generator().manual_seed(seed)
    width = decoder.position.shape[1]
    mask = torch.rand(size, TOKENS_READ, generator=g) < 0.7
    mask[:, -1] = True  # the readout is always present
    return decoder(torch.randn(size, TOKENS_READ, width, generator=g), mask)


def log_probability(texts: DecoderInput, text: list[int]) -> float:
    """Return that of one text of the first sample with its end, computed at once."""
    tokens = torch.tensor([text])
    steps = texts[torch.tensor([0])].teacher_forced_logits(tokens).log_softmax(-1)
    return float(steps.gather(2, tokens[..., None]).sum())
