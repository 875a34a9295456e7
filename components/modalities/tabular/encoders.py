"""The encoder of rows of numbers and categories."""

from pathlib import Path
from typing import NoReturn

from torch import Tensor, nn

from components.common.errors import InputError
from components.huggingface.description import Description
from components.huggingface.models import EncoderInterface
from components.layers.features import Encoder, Features
from components.layers.transformer import Transformer
from components.layers.transformer_shape import TransformerShape
from components.modalities.settings import TransformerEncoderSettings
from components.modalities.tabular.modality import TabularSettings


def _refuse(place: Path, model: nn.Module) -> NoReturn:
    raise InputError("no model of Transformers encodes rows of numbers and categories")


INTERFACE = EncoderInterface(input_names=(), tower="", describe_inputs=_refuse)


class TabularEncoder(Encoder):
    """A token per column, then a Transformer: FT-Transformer (Gorishniy et al. 2021).

    The features are the mean of the tokens, where that paper has a token of its own.
    """

    def __init__(self, inputs: TabularSettings, options: TransformerEncoderSettings):
        super().__init__()
        self.width = options.width
        self.embedding = nn.Embedding(inputs.vocab_size, options.width)
        nn.init.normal_(self.embedding.weight, std=options.width**-0.5)
        self.transformer = Transformer(
            TransformerShape(options.width, options.layers, options.heads, options.dropout)
        )

    def forward(self, entries: Tensor, weights: Tensor) -> Features:
        """Entries and their weights [N, C, E] → features with C tokens."""
        x = (self.embedding(entries) * weights[..., None]).sum(2)  # [N, C, D]
        mask = entries.new_ones(x.shape[:2]).bool()  # [N, C]
        x = self.transformer(x, mask)
        return Features(x, mask, x.mean(1))


BUILT_IN = {"transformer": TabularEncoder}


def build(
    inputs: TabularSettings, options: TransformerEncoderSettings, description: Description | None
) -> Encoder:
    """See `Encoders`."""
    return BUILT_IN[options.encoder](inputs, options)
