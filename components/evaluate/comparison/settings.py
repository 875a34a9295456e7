"""Settings of the comparison."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from components.stage.settings import SeedSettings, Settings

Margin = Annotated[float, Field(ge=0)]
Margins = Mapping[str, Margin]  # name of a figure → the drop that is allowed


class _Promote(Settings):
    maximum_drop: Margins | None = None


class ComparisonSettings(SeedSettings):
    """What the comparison reads of params.yaml."""

    promote: _Promote = _Promote()
