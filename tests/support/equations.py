"""A Transformer's block as its equations are written, for one sample without padding."""

import math

import torch
from torch import Tensor

from components.layers.transformer import Attention, Block


def attention(layer: Attention, x: Tensor, context: Tensor) -> Tensor:
    """softmax(QKᵀ/√d)V head by head: [T, D] and [S, D] → [T, D]."""
    q = layer.query(x)
    k, v = layer.key_value(context).chunk(2, dim=1)
    size = q.shape[1] // layer.heads
    outputs = []
    for h in range(layer.heads):
        part = slice(h * size, (h + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        outputs.append(scores.softmax(1) @ v[:, part])
    return layer.out(torch.cat(outputs, 1))


def layer_norm(norm: torch.nn.LayerNorm, x: Tensor) -> Tensor:
    """(x − mean) / √(variance + ε), times a gain, plus a bias: [T, D] → [T, D]."""
    centred = x - x.mean(1, keepdim=True)
    deviation = (centred.square().mean(1, keepdim=True) + norm.eps).sqrt()
    return centred / deviation * norm.weight + norm.bias


def feed_forward(block: Block, x: Tensor) -> Tensor:
    """GELU(x W₁ + b₁) W₂ + b₂, the GELU with the error function: [T, D] → [T, D]."""
    _, first, _, second, _ = block.feed_forward
    inner = x @ first.weight.T + first.bias
    inner = 0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))
    return inner @ second.weight.T + second.bias


def block(layer: Block, x: Tensor) -> Tensor:
    """A pre-norm or a post-norm block: [T, D] → [T, D]."""
    first, second = layer.attention_norm, layer.feed_forward[0]
    if layer.post:
        x = layer_norm(first, x + attention(layer.attention, x, x))
        return layer_norm(second, x + feed_forward(layer, x))
    normed = layer_norm(first, x)
    x = x + attention(layer.attention, normed, normed)
    return x + feed_forward(layer, layer_norm(second, x))
