"""Plain features of rows: standardised numbers, and an indicator per category."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from scipy.sparse import spmatrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction import DictVectorizer

from components.common.standard_scores import clipped
from components.modalities.tabular.decoding import Cells, decode, number

LARGEST = 1e100  # whose square is finite


def describe(content: bytes, inputs: None) -> Cells:
    """Return the cells of a row."""
    return decode(content)


class RowVectorizer(TransformerMixin, BaseEstimator):
    """Rows become sparse features; a missing cell is a mean, or no category."""

    def fit(self, rows: Sequence[Cells], _: Any = None) -> Self:
        """Learn the columns of numbers, with mean and deviation, and the categories."""
        columns = sorted({column for row in rows for column in row})
        self.numbers_ = {c: found for c in columns if (found := _numbers(rows, c)) is not None}
        self.cells_ = DictVectorizer().fit(map(self._features, rows))
        self.length_ = np.sqrt(len(columns))
        return self

    def transform(self, rows: Sequence[Cells]) -> spmatrix:
        """Return the features, [N, D]."""
        return self.cells_.transform(map(self._features, rows)) / self.length_

    def _features(self, row: Cells) -> dict[str, str | float]:
        features: dict[str, str | float] = {}
        for column, cell in row.items():
            if column not in self.numbers_:
                features[column] = cell
            elif not np.isnan(value := number(cell)):
                mean, deviation = self.numbers_[column]
                features[column] = _standardised(value, mean, deviation)
        return features


def vectorizer() -> RowVectorizer:
    """See `PlainFeatures`."""
    return RowVectorizer()


def _numbers(rows: Sequence[Cells], column: str) -> tuple[float, float] | None:
    """Return mean and deviation of a column; None if a cell of it is no number."""
    values = np.array([number(row[column]) for row in rows if column in row])
    if np.isnan(values).any():
        return None
    values = values.clip(-LARGEST, LARGEST)
    return float(values.mean()), float(values.std()) or 1.0


def _standardised(value: float, mean: float, deviation: float) -> float:
    return float(clipped(np.float64((value - mean) / deviation)))
