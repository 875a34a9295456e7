"""What a check of a media file gives."""

from collections.abc import Mapping

from components.store.errors import Problem

__all__ = ["Facts", "Problem"]

Facts = Mapping[str, int | float | str]  # what a file that can be used is like, for the data report
