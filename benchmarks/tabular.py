"""Numbers and categories alone, against gradient boosting: two data sets of packages, five folds.

As a user has it: `components.start` proposes the settings for a table, `dvc repro` runs them.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold

from benchmarks.figures import Figure
from benchmarks.start import outcome, trained
from components.data.samples import SAMPLE_ID, SPLIT, read_samples

FOLDS = 5
LABEL = "label"
POINTS = 1.0  # that the model may be below


def penguins() -> pd.DataFrame:
    """The species of penguins, by island, sex and measurements; some are missing."""
    return import_module("palmerpenguins").load_penguins().rename(columns={"species": LABEL})


def affairs() -> pd.DataFrame:
    """Whether there were affairs, by answers to a survey (Fair 1978); occupations are names."""
    table = import_module("statsmodels.datasets").fair.load_pandas().data
    occupations = [column for column in table if column.startswith("occupation")]
    names = table[occupations].map(lambda code: f"occupation {code:.0f}")
    return table.drop(columns="affairs").assign(
        **names, **{LABEL: np.where(table["affairs"] > 0, "yes", "no")}
    )


TABLES: dict[str, Callable[[], pd.DataFrame]] = {"penguins": penguins, "affairs": affairs}


def accuracies(table: pd.DataFrame, test: np.ndarray) -> tuple[float, float]:
    """Return the accuracies on the test rows: of the model, and of gradient boosting.

    Both learn from the rows that are in neither the test nor the validation split.
    """
    split = np.where(np.isin(np.arange(len(table)), test), "test", "train")
    rows = table.assign(id=[f"row {row}" for row in table.index], split=split)

    def write(folder: Path) -> Path:
        rows.to_csv(folder / "rows.csv", index=False)
        return folder / "rows.csv"

    with trained(write, "evaluate") as project:
        samples = read_samples(project.path / "data/samples.parquet", ["tabular"])
        model = outcome(project.path).found
    splits = samples.set_index(SAMPLE_ID)[SPLIT].reindex(rows["id"]).to_numpy()
    return model, boosting(table, splits)


def boosting(table: pd.DataFrame, splits: np.ndarray) -> float:
    """Return the accuracy of gradient boosting on the test rows."""
    columns = table.drop(columns=LABEL)
    names = columns.select_dtypes(exclude="number").columns
    columns = columns.astype(dict.fromkeys(names, "category"))
    model = HistGradientBoostingClassifier(categorical_features="from_dtype", random_state=0)
    model.fit(columns[splits == "train"], table.loc[splits == "train", LABEL])
    return float(model.score(columns[splits == "test"], table.loc[splits == "test", LABEL]))


def figures(_: Path) -> Iterator[Figure]:
    """Yield a row for each data set."""
    for name, load in TABLES.items():
        table = load()
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(table, table[LABEL])
        found = [accuracies(table, test) for _, test in folds]
        model, trees = (100 * fmean(values) for values in zip(*found, strict=True))
        yield Figure(
            f"`tabular` alone against gradient boosting, {name}, {len(found)} folds",
            f"{model - trees:+.2f} points ({model:.2f} % against {trees:.2f} %)",
            f"≥ −{POINTS:.0f}",
        )
