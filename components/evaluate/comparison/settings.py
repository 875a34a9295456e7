"""Settings of the comparison."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from components.stage.settings import Seed, Settings

Margin = Annotated[float, Field(ge=0)]
Margins = Mapping[str, Margin]  # name of a figure → the drop that is allowed


class _Promote(Settings):
    maximum_drop: Margins | None = None


class ComparisonSettings(Settings):
    """What the comparison reads of params.yaml."""

    seed: Seed
    promote: _Promote
