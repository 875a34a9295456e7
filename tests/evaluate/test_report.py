"""Plots and the report: complete, and the same bytes each time."""

import io

import pandas as pd
import pytest
from PIL import Image

from components.common.figures import page, save
from components.evaluate import plots
from components.evaluate.__main__ import (
    TEMPLATE,
    draw,
    main_metrics,
    mistakes,
    searches,
    shown,
)
from components.evaluate.measure import by_slice, metrics, retrieval
from components.tasks.classification.head import Classification
from components.tasks.settings import PromptSettings, TaskSettings
from components.tasks.task_kinds import KINDS

HISTORY = pd.DataFrame(
    [
        (epoch, series, task, 1 / (epoch + 2))
        for epoch in range(3)
        for series in ("loss", "accuracy (all)")
        for task in ("answer", "shape")
    ],
    columns=["epoch", "series", "task", "value"],
)
STEPS = pd.DataFrame(
    [
        (step, series, task, step / 7)
        for step in range(200)
        for series in ("loss", "weight")
        for task in (("answer", "shape") if step < 100 else ("answer",))
    ],
    columns=["step", "series", "task", "value"],
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
RANKS = pd.DataFrame({"task": "find", "asset_id": list("abcd"), "rank": [1, 3, 3, 20]})
RANKS = RANKS.assign(targets=40)
FIND = TaskSettings(kind="retrieval", column="c", query="text", target="image", weight=1.0)


def figures():
    return draw(PREDICTIONS, RANKS, METRICS, {"train": HISTORY}, STEPS, KINDS_OF)


@pytest.fixture
def saved(tmp_path):
    paths = {name: tmp_path / f"{name}.png" for name in figures()}
    for name, figure in figures().items():
        save(figure, paths[name])
    return paths


def test_there_is_a_plot_of_everything_that_has_something_to_show(saved):
    assert set(saved) == {
        "accuracy_by_modalities", "history_train", "steps_train", "confusion_answer", "found_find",
    }  # fmt: skip
    for path in saved.values():
        with Image.open(path) as image:
            assert min(image.size) > 200
            assert len(image.convert("RGB").getcolors(1_000_000)) > 5


def test_what_has_nothing_to_show_has_no_plot():
    nothing = {"accuracy": {}, "ceiling": {}, "slices": {}}
    histories = {"features_audio": HISTORY[:0]}
    assert draw(PREDICTIONS[:0], RANKS[:0], nothing, histories, STEPS[:0], KINDS_OF) == {}


def test_plots_have_the_same_bytes_each_time(saved, tmp_path):
    for name, figure in figures().items():
        save(figure, tmp_path / "again.png")
        assert (tmp_path / "again.png").read_bytes() == saved[name].read_bytes()


def test_a_plot_holds_no_date_and_no_version(saved):
    for path in saved.values():
        assert not {"Software", "Creation Time", "date"} & set(Image.open(path).info)


def test_another_result_gives_another_plot(saved, tmp_path):
    changed = {**METRICS, "accuracy": {**METRICS["accuracy"], "shape": {"image": 0.5}}}
    figure = draw(PREDICTIONS, RANKS, changed, {}, STEPS[:0], KINDS_OF)["accuracy_by_modalities"]
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
        "retrieved": ["recall_at_1", "recall_at_5", "recall_at_10", "median_rank"],
        "searches": searches(RANKS, retrieval(RANKS, {"find": FIND})),
        "prompts": {"shape": PromptSettings(templates=["a {}", "one {}"], words={})},
        "prompted": {
            "zero_shot_accuracy": {"shape": {"image": 0.375}},
            "zero_shot_chance": {"shape": {"image": 0.0625}},
        },
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
    found = ("find", "text→image", "4", "40", "25.00 %", "75.00 %", "75.00 %", "3")
    assert "".join(f"<td>{text}</td>" for text in found) in html
    prompted = ("shape", "image", "37.50 %", "6.25 %", "a {}; one {}")
    assert "".join(f"<td>{text}</td>" for text in prompted) in html


def test_without_prompts_the_report_says_nothing_of_them(saved):
    html = page(TEMPLATE, context(prompts={}, prompted={}), saved)
    assert "Zero-shot" not in html


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


def test_what_was_found_is_a_share_that_grows_with_k():
    (axis,) = plots.found(RANKS, "find").axes
    steps, median = axis.lines
    assert dict(zip(*steps.get_data(), strict=True)) == {1: 0.25, 3: 0.75, 20: 1.0, 40: 1.0}
    assert set(median.get_xdata()) == {3}
    assert axis.get_xscale() == "log" and "40" in axis.get_xlabel() and axis.get_ylabel()
    late = plots.found(RANKS.assign(rank=[4, 4, 8, 8]), "find").axes[0].lines[0]
    assert dict(zip(*late.get_data(), strict=True)) == {1: 0.0, 4: 0.5, 8: 1.0, 40: 1.0}


EVERY_KIND = {
    "answer": KINDS["classification"](["no", "yes"]),
    "tags": KINDS["multilabel"](["cat", "dog"]),
    "size": KINDS["regression"](10.0, 4.0),
    "reply": KINDS["vqa"](["2", "red"]),
    "caption": KINDS["generation"]([], 8, "greedy"),
}
EVERY_PREDICTION = pd.DataFrame(
    [
        ("1", "image", "answer", "yes", "no", 0.875),
        ("1", "image", "tags", '["dog"]', "[0.9, 0.8]", None),
        ("2", "image", "tags", "[]", "[0.1, 0.2]", None),
        ("1", "image", "size", "12.5", "1234.5678", None),
        ("2", "image", "size", "7.5", "7.5", None),
        ("1", "image", "reply", '["two", "2", "2"]', "2", 0.5),
        ("2", "image", "reply", '["two", "2", "2"]', "red", 0.75),
        ("1", "image", "caption", '["A red dog.", "dogs"]', "a red dog", 0.9),
        ("2", "image", "caption", '["two blue cats run"]', "a blue dog", 0.25),
    ],
    columns=["sample_id", "subset", "task", "target", "prediction", "confidence"],
)


def test_every_kind_of_task_has_its_plot_and_its_metrics_in_the_report(tmp_path):
    found = metrics(EVERY_PREDICTION, EVERY_KIND)
    samples = pd.DataFrame({"sample_id": ["1", "2"], "place": ["hill", "sea"]}, dtype="str")
    every = found | {
        "ceiling": {"answer": {"image": 1.0}},
        "slices": by_slice(EVERY_PREDICTION, samples, ["place"], EVERY_KIND),
    }
    drawn = draw(EVERY_PREDICTION, RANKS, every, {}, STEPS[:0], EVERY_KIND)
    assert list(drawn) == [
        "accuracy_by_modalities", "confusion_answer", "precision_tags", "predicted_size",
        "answers_reply", "likeness_caption", "found_find",
    ]  # fmt: skip
    paths = {name: tmp_path / f"{name}.png" for name in drawn}
    for name, figure in drawn.items():
        save(figure, paths[name])
    others = {name: values for name, values in found.items() if name != "accuracy"}
    wrong = mistakes(EVERY_PREDICTION, EVERY_KIND)
    given = context(**every, others=others, main=main_metrics(found), mistakes=wrong)
    html = page(TEMPLATE, given, paths)
    for text in ("Mean absolute error by task", "<td>611</td>", "F1 by task", "66.67 %"):
        assert text in html, text
    assert "size, mean absolute error by slice" in html and "<td>1222</td>" in html
    assert "Vqa accuracy by task" in html
    assert "Bleu 4 by task" in html and "Cider by task" in html and "Rouge l by task" in html
    # a number is never plainly wrong; the surest come first, those without a confidence last
    assert [(row["task"], row["prediction"]) for row in wrong] == [
        ("answer", "no"), ("reply", "red"), ("caption", "a blue dog"), ("tags", "cat, dog"),
    ]  # fmt: skip


def test_there_is_a_plot_for_every_kind():
    assert set(plots.PLOTS) == set(KINDS.values())


def test_a_project_without_classification_has_its_report_too():
    kinds = {"size": EVERY_KIND["size"]}
    rows = EVERY_PREDICTION[EVERY_PREDICTION["task"] == "size"]
    found = metrics(rows, kinds)
    assert found["accuracy"] == {}
    drawn = draw(rows, RANKS[:0], found | {"ceiling": {}}, {}, STEPS[:0], kinds)
    assert list(drawn) == ["predicted_size"]
    assert mistakes(rows, kinds) == []
    others = {name: found[name] for name in ("mean_absolute_error", "r2")}
    given = context(**found, slices={}, others=others, main=main_metrics(found))
    html = page(TEMPLATE, given, {})
    assert "Accuracy by task" not in html and "R2 by task" in html
