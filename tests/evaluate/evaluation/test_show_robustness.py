"""The robustness of an evaluation as a table and as a plot."""

import io
import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from components.common.errors import InputError
from components.common.figures import save
from components.common.files import write_json
from components.common.metrics import DEFINITIONS, EVALUATED_SPLIT, Metric
from components.data.tables import write_table
from components.evaluate.evaluation.results import CORRUPTED, RESULTS, Evaluation
from components.evaluate.evaluation.show_robustness import curves, main, markdown, show
from components.evaluate.robustness.measure import EVERYTHING
from components.evaluate.tables import ROBUSTNESS

ACCURACY = Metric("accuracy", primary=True)
TABLE = pd.DataFrame(
    [
        ("image", "jpeg", 2),
        ("image", "jpeg", 4),
        ("text", "typos", 1),
        ("missing", "missing_text", 3),
    ],
    columns=["group", "corruption", "severity"],
).assign(task="answer", subset=EVERYTHING, metric="accuracy", clean=0.75)
TABLE = TABLE.assign(corrupted=[0.5, 0.25, 0.75, 0.6], answered=1.0)[list(ROBUSTNESS.columns)]
LINES = [
    "| accuracy | clean | 1 | 2 | 3 | 4 | 5 | mean |",
    "|---|---:|---:|---:|---:|---:|---:|---:|",
    "| jpeg | 75.00% |  | 50.00% |  | 25.00% |  | 37.50% |",
    "| typos | 75.00% | 75.00% |  |  |  |  | 75.00% |",
    "| missing_text | 75.00% |  |  | 60.00% |  |  | 60.00% |",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """An evaluation."""
    folder = tmp_path_factory.mktemp("evaluation")
    write_table(folder / CORRUPTED, TABLE, ROBUSTNESS)
    figures = {"accuracy": {"answer": {"image": 0.75}}, DEFINITIONS: [asdict(ACCURACY)]}
    figures[EVALUATED_SPLIT] = "test"
    write_json(folder / RESULTS, {"figures": figures})
    return folder


def test_table_has_a_row_per_corruption():
    assert list(markdown(TABLE, ACCURACY)) == LINES


def test_figures_have_the_unit_of_their_metric():
    error = Metric("mean_absolute_error", higher_is_better=False, unit="label")
    assert list(markdown(TABLE[:1], error))[2] == "| jpeg | 0.75 |  | 0.5 |  |  |  | 0.5 |"


def test_curves_have_the_same_bytes_each_time(tmp_path):
    contents = []
    for name in ("a.png", "b.png"):
        save(curves(TABLE, "test"), tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert Image.open(io.BytesIO(contents[0])).size[0] > 800
    assert [axis.get_title() for axis in curves(TABLE, "test").axes] == ["image", "text", "missing"]


def test_command_shows_table_and_plot(folder, tmp_path, monkeypatch, capsys):
    plot = tmp_path / "plot.png"
    words = ["--evaluation", str(folder), "--task", "answer", "--plot", str(plot)]
    monkeypatch.setattr(sys, "argv", ["show_robustness", *words])
    main()
    assert capsys.readouterr().out.splitlines() == LINES
    assert Image.open(plot).format == "PNG"


@pytest.mark.parametrize(
    ("task", "subset", "message"),
    [
        ("anser", EVERYTHING, "--task: found 'anser'. Did you mean 'answer'?"),
        ("answer", "audio", "--subset: found 'audio'. Valid here: everything"),
    ],
)
def test_unknown_name_suggests_nearest(folder, task, subset, message):
    with pytest.raises(InputError) as error:
        show(Evaluation(folder), task, subset, None)
    assert str(error.value).startswith(message)


def test_missing_evaluation_is_named(tmp_path):
    with pytest.raises(InputError, match="is missing"):
        show(Evaluation(tmp_path / "none"), "answer", EVERYTHING, None)
