"""What every section of params.yaml is made of."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Dropout = Annotated[float, Field(ge=0, lt=1)]


def matching(pattern: str, expected: str) -> AfterValidator:
    """A word that a pattern matches whole; `expected` says in a message what that is."""

    def check(word: str) -> str:
        if not re.fullmatch(pattern, word):
            raise ValueError(f"found {word!r}, expected {expected}")
        return word

    return AfterValidator(check)


class Section(BaseModel):
    """A mapping in params.yaml; keys that it does not name are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
