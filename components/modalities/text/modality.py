"""The record of texts, and their settings."""

from typing import Annotated

from pydantic import Field

from components.huggingface.locate import EncoderNames
from components.modalities.modality import Modality
from components.modalities.settings import COMMIT, InputSettings, TransformerEncoderSettings
from components.stage.settings import matching

TokenizerSource = Annotated[
    str,
    matching(
        rf"[^/\\]+\.json|([\w.-]+/)?[\w.-]+@{COMMIT}",
        "the name of a .json file that lies in pretrained/text, or name@revision on the Hugging "
        "Face Hub, the revision as the 40 hexadecimal digits of a commit, since any other can "
        "change unseen, or null",
    ),
]


class TextSettings(InputSettings):
    """How a text becomes token ids."""

    SOURCE_KEYS = frozenset({"tokenizer"})

    tokenizer: TokenizerSource | None  # None: one is trained, or the encoder has its own
    vocab_size: Annotated[int, Field(ge=257, le=100_000)]
    max_tokens: Annotated[int, Field(ge=2, le=4096)]  # longer texts are cut


class _Text(Modality):
    def check(self, inputs: TextSettings, encoder: TransformerEncoderSettings) -> None:
        """A pretrained encoder needs the tokenizer that it was trained with."""
        has_tokenizer = encoder.encoder not in self.encoder_names.built_in
        if has_tokenizer and inputs.tokenizer is not None:
            raise ValueError(
                f"features.text.encoder {encoder.encoder} has a tokenizer of its own, so set "
                f"preprocess.text.tokenizer to null, found {inputs.tokenizer}"
            )
        if encoder.pretrained and inputs.tokenizer is None and not has_tokenizer:
            raise ValueError(
                "features.text.pretrained needs preprocess.text.tokenizer: name the one that the "
                "encoder was trained with, since a new one would number other words"
            )


MODALITY = _Text(
    name="text",
    inputs=TextSettings,
    encoder=TransformerEncoderSettings,
    encoder_names=EncoderNames(modality="text", built_in=("transformer",)),
    measures={"characters": "text [characters]"},
    mlflow_type="string",
    is_leak=False,
)
