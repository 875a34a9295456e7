"""Options of text generation."""

from typing import Annotated, Literal

from pydantic import Field

from components.stage.settings import matching
from components.tasks.settings import HeadTaskSettings

Decoding = Annotated[
    str,
    matching(
        r"greedy|beam/([1-9]|[1-5]\d|6[0-4])|nucleus/(0?\.\d+|1(\.0*)?)",
        "greedy, beam/WIDTH with 1 to 64 texts side by side as in beam/4, or nucleus/P with a "
        "fraction of the probability, 0 to 1, as in nucleus/0.9",
    ),
]


class GenerationSettings(HeadTaskSettings):
    """A text that the model writes."""

    kind: Literal["generation"] = "generation"
    vocab_size: Annotated[int, Field(ge=257, le=100_000)] = 2000
    """Tokens to write with."""
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 24
    """Longer texts are cut."""
    decoding: Decoding = "greedy"
    """How a text is chosen."""


SETTINGS = GenerationSettings
