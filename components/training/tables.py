"""Tables of what a training run logged."""

import pandera.pandas as pa


def _schema(when: str, name: str) -> pa.DataFrameSchema:
    """One value per `when`, series and task."""
    columns = {
        when: pa.Column(int, pa.Check.ge(0)),
        "series": pa.Column(str),
        "task": pa.Column(str),
        "value": pa.Column(float),
    }
    return pa.DataFrameSchema(columns, strict=True, name=name)


HISTORY = _schema("epoch", "metrics per epoch")
STEPS = _schema("step", "values per step")
