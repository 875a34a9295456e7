"""Checks rows of numbers and categories."""

from components.common.errors import Problem
from components.modalities.modality import Facts, Preview, UnusableAsset
from components.modalities.tabular.decoding import decode


def inspect(content: bytes) -> Facts | Problem:
    """Return how many `cells` a row has that are not missing, or why it cannot be used."""
    try:
        return {"cells": len(decode(content))}
    except UnusableAsset as error:
        return error.problem


def preview(content: bytes) -> Preview:
    """Return the cells."""
    return Preview(text=", ".join(f"{column}: {cell}" for column, cell in decode(content).items()))
