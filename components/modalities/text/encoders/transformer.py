"""A Transformer for texts."""

import torch
from torch import Tensor, nn

from components.layers.features import Encoder, Features, length_mask, masked_mean
from components.layers.transformer import Transformer
from components.layers.transformer_shape import TransformerShape
from components.modalities.text.encoders.plain import PlainTextExtractor
from components.modalities.text.modality import TextEncoderSettings, TextSettings


class TextEncoder(Encoder):
    """Token and position embeddings, then a bidirectional Transformer (Devlin et al. 2019)."""

    def __init__(self, inputs: TextSettings, options: TextEncoderSettings):
        super().__init__()
        self.width = options.width
        self.embedding = nn.Embedding(inputs.vocab_size, options.width)
        self.position = nn.Parameter(torch.empty(inputs.max_tokens, options.width))
        for table in (self.embedding.weight, self.position):
            nn.init.normal_(table, std=0.02)
        self.transformer = Transformer(
            TransformerShape(options.width, options.layers, options.heads, options.dropout)
        )
        if options.plain:
            self.plain = PlainTextExtractor(options.width)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Features:
        """Token ids [N, T] and lengths [N] → features with T tokens."""
        mask = length_mask(lengths, tokens.shape[1])  # [N, T]
        x = self.embedding(tokens) + self.position[: tokens.shape[1]]  # [N, T, D]
        x = self.transformer(x, mask)
        return Features(x, mask, masked_mean(x, mask))
