"""What a check finds out about a media file that can be used."""

from collections.abc import Mapping

Facts = Mapping[str, int | float | str]  # by name, for the data report
