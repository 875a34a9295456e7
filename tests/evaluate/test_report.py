"""Plots and the report: complete, and the same bytes each time."""

import io

import pandas as pd
import pytest
from PIL import Image

from components.evaluate import plots
from components.evaluate.__main__ import TEMPLATE, draw, main_metrics, shown
from components.model.tasks.classification import Classification
from components.store.figures import page, save

HISTORY = pd.DataFrame(
    [
        (epoch, series, task, 1 / (epoch + 2))
        for epoch in range(3)
        for series in ("loss", "accuracy (all)")
        for task in ("answer", "shape")
    ],
    columns=["epoch", "series", "task", "value"],
)
METRICS = {
    "accuracy": {"answer": {"image": 0.25, "image+text": 0.75}, "shape": {"image": 1.0}},
    "ceiling": {"answer": {"image": 0.5, "image+text": 0.8}, "shape": {"image": 1.0}},
    "slices": {"answer": {"accent": {"us": {"image": 0.125}, "<b>uk</b>": {"image+text": 1.0}}}},
}
PREDICTIONS = pd.DataFrame(
    [("1", "image", "answer", "yes", "no"), ("2", "image", "answer", "no", "no")],
    columns=["sample_id", "subset", "task", "target", "prediction"],
).assign(confidence=[0.875, 0.5])
KINDS_OF = {"answer": Classification(["no", "yes"]), "shape": Classification(["x", "y"])}


def figures():
    return draw(PREDICTIONS, METRICS, {"train": HISTORY}, KINDS_OF)


@pytest.fixture
def saved(tmp_path):
    paths = {name: tmp_path / f"{name}.png" for name in figures()}
    for name, figure in figures().items():
        save(figure, paths[name])
    return paths


def test_there_is_a_plot_of_everything_that_has_something_to_show(saved):
    assert set(saved) == {"accuracy_by_modalities", "history_train", "confusion_answer"}
    for path in saved.values():
        with Image.open(path) as image:
            assert min(image.size) > 200
            assert len(image.convert("RGB").getcolors(1_000_000)) > 5


def test_what_has_nothing_to_show_has_no_plot():
    nothing = {"accuracy": {}, "ceiling": {}, "slices": {}}
    assert draw(PREDICTIONS[:0], nothing, {"features_audio": HISTORY[:0]}, KINDS_OF) == {}


def test_plots_have_the_same_bytes_each_time(saved, tmp_path):
    for name, figure in figures().items():
        save(figure, tmp_path / "again.png")
        assert (tmp_path / "again.png").read_bytes() == saved[name].read_bytes()


def test_a_plot_holds_no_date_and_no_version(saved):
    for path in saved.values():
        assert not {"Software", "Creation Time", "date"} & set(Image.open(path).info)


def test_another_result_gives_another_plot(saved, tmp_path):
    changed = {**METRICS, "accuracy": {**METRICS["accuracy"], "shape": {"image": 0.5}}}
    figure = draw(PREDICTIONS, changed, {}, KINDS_OF)["accuracy_by_modalities"]
    save(figure, tmp_path / "changed.png")
    assert (tmp_path / "changed.png").read_bytes() != saved["accuracy_by_modalities"].read_bytes()


def context(**changes) -> dict:
    values = {
        **METRICS,
        "others": {},
        "main": main_metrics({"accuracy": METRICS["accuracy"]}),
        "shown": shown,
        "samples": 1234,
        "fusion": "bilinear",
        "weights": "5,678",
        "subsets": ["image", "text", "image+text"],
        "retrieval": {"recall_at_1": {"text→image": 0.0625}, "recall_at_5": {"text→image": 0.5}},
        "mistakes": PREDICTIONS[:1].to_dict("records"),
    }
    return values | changes


def test_the_report_holds_every_number(saved):
    html = page(TEMPLATE, context(), saved)
    for text in ("1234 samples", "bilinear", "5,678", "25.00 %", "75.00 %", "80.00 %", "12.50 %"):
        assert text in html
    assert "text→image" in html and "6.25 %" in html
    assert html.count("data:image/png;base64,") == len(saved)
    assert "0.875" in html


def test_the_report_needs_no_other_file_and_no_network(saved):
    html = page(TEMPLATE, context(), saved)
    assert "http" not in html and "<script" not in html and "<link" not in html


def test_what_the_data_say_is_text_and_not_html(saved):
    html = page(TEMPLATE, context(), saved)
    assert "<b>uk</b>" not in html and "&lt;b&gt;uk&lt;/b&gt;" in html


def test_without_mistakes_the_report_says_so():
    assert "None." in page(TEMPLATE, context(mistakes=[]), {})


def test_confusion_counts_every_prediction(tmp_path):
    figure = plots.confusion(PREDICTIONS, KINDS_OF["answer"], "answer")
    (axis, _) = figure.axes
    assert axis.images[0].get_array().tolist() == [[1.0, 0.0], [1.0, 0.0]]
    file = io.BytesIO()
    figure.savefig(file, format="png")
