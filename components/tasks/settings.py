"""The section `tasks`: what the model learns, and what is said of its classes."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from components.modalities.registry import Modality
from components.stage.section import Positive, Section, Share, matching

TaskKind = Literal["classification", "multilabel", "regression", "vqa", "generation", "retrieval"]

RESERVED = {  # no names for tasks
    *("transcript", "masked_tokens", "same_text", "same_image", "same_audio"),  # encoders' own
    "training",  # every torch module has it
}


Decoding = Annotated[
    str,
    matching(
        r"greedy|beam/([1-9]|[1-5]\d|6[0-4])|nucleus/(0?\.\d+|1(\.0*)?)",
        "greedy, beam/WIDTH with 1 to 64 texts side by side as in beam/4, or nucleus/SHARE with a "
        "share of the probability, 0 to 1, as in nucleus/0.9",
    ),
]


class TaskSettings(Section):
    """A task over one column of the samples."""

    kind: TaskKind = "classification"
    column: str
    decided_by: Annotated[tuple[Modality, ...], Field(strict=False)] | None = None
    weight: Positive
    goal: Share | None = None  # the quality at which it is done, if that is not a perfect one
    answers: Annotated[int, Field(ge=2)] | None = None  # kind vqa: so many of the most frequent
    vocabulary: Annotated[int, Field(ge=257, le=100_000)] | None = None  # kind generation: tokens
    max_tokens: Annotated[int, Field(ge=1, le=4096)] | None = None  # likewise: longer texts are cut
    decoding: Decoding | None = None  # how a text is chosen
    query: Modality | None = None  # kind retrieval: what is given …
    target: Modality | None = None  # … and what is to be found

    @model_validator(mode="after")
    def _answers_are_for_vqa(self):
        if (self.kind == "vqa") != (self.answers is not None):
            raise ValueError(
                f"kind is {self.kind}, answers is {self.answers}; kind vqa needs answers, the size "
                "of its vocabulary, and no other kind has it"
            )
        return self

    @model_validator(mode="after")
    def _how_to_write_is_for_generation(self):
        keys = ("vocabulary", "max_tokens", "decoding")
        named = ", ".join(f"{key} is {getattr(self, key)}" for key in keys)
        if any((getattr(self, key) is None) == (self.kind == "generation") for key in keys):
            raise ValueError(
                f"kind is {self.kind}, {named}; kind generation needs all three, as 512, 16 and "
                "greedy, and no other kind has them"
            )
        return self

    @model_validator(mode="after")
    def _query_and_target_are_for_retrieval(self):
        named = f"kind is {self.kind}, query is {self.query}, target is {self.target}"
        if self.kind == "retrieval":
            if not (self.query and self.target) or self.query == self.target:
                raise ValueError(f"{named}; kind retrieval needs both, two different modalities")
        elif self.query or self.target:
            raise ValueError(f"{named}; only kind retrieval has them, so remove them")
        return self

    @model_validator(mode="after")
    def _goal_can_be_approached(self):
        start = 1 if self.kind == "regression" else 0
        if self.goal is not None and (self.kind == "retrieval" or self.goal == start):
            raise ValueError(
                f"kind is {self.kind}, goal is {self.goal}; expected an accuracy, F1 or soft score "
                "above 0, for kind regression an absolute error below 1 standard deviation, for "
                "kind retrieval none"
            )
        return self

    @model_validator(mode="after")
    def _decided_by_is_for_heads(self):
        if (self.kind == "retrieval") != (self.decided_by is None):
            found = "is missing" if self.decided_by is None else f"is {list(self.decided_by)}"
            raise ValueError(
                f"kind is {self.kind}, decided_by {found}; kind retrieval has query and target in "
                "its place, every other kind needs it: [] if no modality alone decides the label"
            )
        return self


def _template(text: str) -> str:
    if text.count("{}") != 1:
        raise ValueError(f"found {text!r}, expected a text with one {{}}, where the class goes")
    return text


class PromptSettings(Section):
    """What is said of an asset of each class of a task."""

    templates: Annotated[
        tuple[Annotated[str, AfterValidator(_template)], ...], Field(min_length=1, strict=False)
    ]
    words: dict[str, Annotated[str, Field(min_length=1)]]
