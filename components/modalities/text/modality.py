"""The record of texts, and their settings."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from components.huggingface.locate import EncoderNames
from components.modalities.modality import Facts, Limit, Modality, nearly_longest
from components.modalities.settings import (
    HUB,
    EncoderName,
    InputSettings,
    PlainSettings,
    TransformerEncoderSettings,
)
from components.stage.settings import DropoutRate, Section, matching
from components.training.settings import BatchSize

COUNTS = "counts"  # the tensor of how often words and characters occur, for plain features
KINDS, BUCKETS = 2, 4096  # of what is counted; of hashes of each kind
MASKED_TOKENS, SAME_TEXT = "masked_tokens", "same_text"  # losses

TokenizerSource = Annotated[
    str,
    matching(
        rf"[^/\\]+\.json|{HUB}",
        "the name of a .json file that lies in pretrained/text, or name@revision on the Hugging "
        "Face Hub, the revision as the 40 hexadecimal digits of a commit, since any other can "
        "change unseen, or null",
    ),
]


class TextSettings(InputSettings):
    """How a text becomes token ids."""

    SOURCE_KEYS = frozenset({"tokenizer"})

    tokenizer: TokenizerSource | None = None
    """A .json file in pretrained/text, or name@commit on the Hugging Face Hub; null: a byte-level
    BPE is trained on the texts, or the encoder has its own."""
    vocab_size: Annotated[int, Field(ge=257, le=100_000)] = 4000
    """Tokens of a BPE that is trained."""
    max_tokens: Annotated[int, Field(ge=2, le=4096)] = 64
    """Longer texts are cut; start and end tokens count."""


class TextAugmentationSettings(Section):
    """How training texts are changed at random."""

    masking: DropoutRate = 0.0
    """Probability that a token becomes the mask token."""
    dropping: DropoutRate = 0.0
    """Probability that a token is left out."""


class TextEncoderSettings(PlainSettings, TransformerEncoderSettings):
    """An encoder of texts."""

    WITH_PLAIN = "transformer"

    encoder: EncoderName = "transformer"
    """transformer, or a pretrained model of Transformers."""
    batch_size: BatchSize = 128
    """Texts per step."""
    augmentation: TextAugmentationSettings = TextAugmentationSettings()
    """Changes of training texts."""


class _Text(Modality):
    def check(self, inputs: TextSettings, encoder: TextEncoderSettings) -> None:
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

    def suggested_inputs(self, facts: Sequence[Facts]) -> dict[str, Any]:
        """Room for the tokens of nearly all texts, about one for three characters."""
        characters = int(nearly_longest(int(fact["characters"]) for fact in facts))
        longest = characters // 3 + 2  # start and end
        return {"max_tokens": min(max(16, 2 ** longest.bit_length()), 512)}


MODALITY = _Text(
    name="text",
    inputs=TextSettings,
    encoder=TextEncoderSettings,
    encoder_names=EncoderNames(modality="text", built_in=("transformer",)),
    measures={"characters": "text [characters]"},
    mlflow_type="string",
    is_leak=False,
    encoder_keys=("encoder", "plain"),
    is_language=True,
    losses=(MASKED_TOKENS, SAME_TEXT),
    copies_within=0.5,  # equal fingerprints, which are whole numbers
    limit=Limit("max_tokens", "characters"),
    reasons={
        "max_tokens": "room for nearly all texts, at three characters each; longer ones are cut"
    },
)
