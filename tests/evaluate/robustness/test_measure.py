"""What is compared with what, and the means over it."""

import io

import pandas as pd
import pytest
from PIL import Image

from components.common.figures import save
from components.data.tables import ROBUSTNESS, write_table
from components.evaluate.robustness import SUITES
from components.evaluate.robustness.measure import COLUMNS, EVERYTHING, measure, summary
from components.evaluate.robustness.plots import curves
from components.tasks.classification.head import Classification
from components.tasks.multilabel.head import Multilabel
from components.tasks.regression.head import Regression
from tests.shrunk import assert_refused, run_python

KINDS = {
    "answer": Classification(["no", "yes"]),
    "size": Regression(mean=0.0, deviation=1.0),
    "tags": Multilabel(["cat", "dog"]),
}


def table(*rows: tuple[str, str, str, str, str]) -> pd.DataFrame:
    columns = ["sample_id", "subset", "task", "target", "prediction"]
    return pd.DataFrame(rows, columns=columns).assign(confidence=float("nan"))


CLEAN = table(
    ("1", "image", "answer", "yes", "yes"),
    ("2", "image", "answer", "no", "no"),
    ("3", "text", "answer", "no", "yes"),
    ("4", "text", "answer", "no", "no"),
    ("1", "text", "answer", "yes", "yes"),
    ("1", "image+text", "answer", "yes", "yes"),
)


def same(modality, spoil):
    return CLEAN


def values(found: pd.DataFrame) -> dict:
    rows = found.set_index(["task", "subset"])[["clean", "corrupted", "answered"]]
    return {key: tuple(row) for key, row in zip(rows.index, rows.to_numpy(), strict=True)}


def test_nothing_is_lost_where_nothing_changes():
    found = measure(KINDS, CLEAN, same, SUITES["full"])
    assert list(found.columns) == COLUMNS
    assert (found["clean"] == found["corrupted"]).all()
    assert (found["answered"] == 1).all()
    assert set(found["group"]) == {"image", "text", "audio", "missing"}
    assert len(found.drop_duplicates(["corruption", "severity"])) == len(SUITES["full"])


def test_only_subsets_that_have_what_was_corrupted_and_everything():
    found = measure(KINDS, CLEAN, same, (("jpeg", 2),))
    assert values(found) == {
        ("answer", "image"): (1.0, 1.0, 1.0),
        ("answer", "image+text"): (1.0, 1.0, 1.0),
        ("answer", EVERYTHING): (0.75, 0.75, 1.0),
    }
    assert set(found["metric"]) == {"accuracy"}


def test_each_question_is_answered_once_from_everything_that_the_sample_has():
    worse = CLEAN.assign(prediction="yes")
    found = measure(KINDS, CLEAN, lambda modality, spoil: worse, (("typos", 1),))
    assert values(found) == {
        ("answer", "text"): (2 / 3, 1 / 3, 1.0),
        ("answer", "image+text"): (1.0, 1.0, 1.0),
        ("answer", EVERYTHING): (0.75, 0.25, 1.0),
    }


def test_answers_that_have_gone_are_counted_and_not_compared():
    """Sample 2 loses its only asset, sample 1 falls back on its text, which is then misread."""
    left = table(
        ("1", "text", "answer", "yes", "no"),
        ("3", "text", "answer", "no", "yes"),
        ("4", "text", "answer", "no", "no"),
    )
    found = measure(KINDS, CLEAN, lambda modality, spoil: left, (("missing_image", 5),))
    assert values(found) == {("answer", EVERYTHING): (2 / 3, 1 / 3, 0.75)}
    assert set(found["group"]) == {"missing"}


def test_a_model_is_asked_with_the_corruption_of_each_asset():
    asked = []

    def again(modality, spoil):
        asked.append((modality, spoil("0" * 64, b"Why?")))
        return CLEAN

    measure(KINDS, CLEAN, again, (("casing", 5), ("missing_text", 5)))
    assert asked == [("text", b"wHY?"), ("text", None)]


def test_metrics_that_are_no_mean_of_hits():
    clean = table(
        ("1", "image", "size", "2.0", "2.5"),
        ("2", "image", "size", "1.0", "1.0"),
        ("1", "image", "tags", '["cat"]', "[0.9, 0.8]"),
        ("2", "image", "tags", '["cat", "dog"]', "[0.9, 0.1]"),
    )
    worse = clean.assign(prediction=["3.0", "1.0", "[0.1, 0.1]", "[0.9, 0.1]"])
    found = measure(KINDS, clean, lambda modality, spoil: worse, (("jpeg", 1),))
    assert values(found) == {
        ("size", "image"): (0.25, 0.5, 1.0),
        ("size", EVERYTHING): (0.25, 0.5, 1.0),
        ("tags", "image"): (pytest.approx(4 / 6), pytest.approx(2 / 4), 1.0),
        ("tags", EVERYTHING): (pytest.approx(4 / 6), pytest.approx(2 / 4), 1.0),
    }
    for (task, subset), rows in worse.groupby(["task", "subset"]):
        of = KINDS[task].metrics(rows)[KINDS[task].COMPARED]
        assert values(found)[task, subset][1] == pytest.approx(of)


def test_no_corruption_no_row():
    assert measure(KINDS, CLEAN, same, ()).empty
    assert summary(measure(KINDS, CLEAN, same, ())) == {}


def measured(*rows: tuple[str, str, int, float, float]) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=["group", "corruption", "severity", "clean", "corrupted"])
    return found.assign(task="answer", subset=EVERYTHING, metric="accuracy", answered=1.0)


def test_a_corruption_counts_once_however_many_severities_it_has():
    found = summary(
        measured(
            ("image", "jpeg", 1, 0.8, 0.8),
            ("image", "jpeg", 2, 0.8, 0.4),
            ("image", "contrast", 3, 0.8, 0.2),
            ("text", "typos", 1, 0.0, 0.0),
        )
    )
    expected = {"clean": 0.8, "corrupted": 0.4, "relative": 0.5}
    assert found["image"]["answer"][EVERYTHING] == pytest.approx(expected)
    assert found["text"]["answer"][EVERYTHING] == {"clean": 0.0, "corrupted": 0.0}


def test_curves_are_the_same_picture_each_time(tmp_path):
    found = measure(KINDS, CLEAN, same, SUITES["full"])
    rows = found[found["subset"] == EVERYTHING]
    contents = []
    for name in ("a.png", "b.png"):
        save(curves(rows), tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert Image.open(io.BytesIO(contents[0])).size[0] > 800
    titles = [axis.get_title() for axis in curves(rows).axes]
    assert titles == ["image", "text", "audio", "missing"]


def test_an_exam_s_figures_are_shown(tmp_path):
    found = measure(KINDS, CLEAN, same, (("jpeg", 2), ("jpeg", 4), ("typos", 1)))
    write_table(tmp_path / "robustness.parquet", found, ROBUSTNESS)
    command = ("-m", "components.evaluate.robustness", "--exam", str(tmp_path), "--task")
    plot = tmp_path / "plot.png"
    shown = run_python(*command, "answer", "--plot", str(plot), cwd=tmp_path)
    assert shown.stdout.splitlines() == [
        "| accuracy | clean | 1 | 2 | 3 | 4 | 5 | mean |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        "| jpeg | 75.00% |  | 75.00% |  | 75.00% |  | 75.00% |",
        "| typos | 75.00% | 75.00% |  |  |  |  | 75.00% |",
    ]
    assert Image.open(plot).format == "PNG"
    assert_refused(run_python(*command, "anser", cwd=tmp_path), "Did you mean 'answer'?")
    missing = run_python(*command, "answer", "--subset", "audio", cwd=tmp_path)
    assert_refused(missing, "--subset: found 'audio'. ")
    assert_refused(run_python(*command[:3], "x", "--task", "a", cwd=tmp_path), "is missing")
