"""Tables that an evaluation writes; without torch, so that flows can read them."""

import pandera.pandas as pandera

from components.modalities.corruption import SEVERITIES

CONTRIBUTIONS = pandera.DataFrameSchema(
    {
        "task": pandera.Column(str),
        "subset": pandera.Column(str),
        "cluster": pandera.Column(str),  # predictions that are right or wrong together
        "numerator": pandera.Column(float),  # the metric is the quotient of the sums of both
        "denominator": pandera.Column(float),
    },
    strict=True,
    name="contributions of clusters to metrics",
)

ROBUSTNESS = pandera.DataFrameSchema(
    {
        "group": pandera.Column(str),  # a modality, or missing
        "corruption": pandera.Column(str),
        "severity": pandera.Column(int, pandera.Check.isin(SEVERITIES)),
        "task": pandera.Column(str),
        "subset": pandera.Column(str),
        "metric": pandera.Column(str),
        "clean": pandera.Column(float),
        "corrupted": pandera.Column(float),
        "answered": pandera.Column(float, pandera.Check.in_range(0, 1)),  # of the predictions
    },
    strict=True,
    name="metrics under corruptions",
)
