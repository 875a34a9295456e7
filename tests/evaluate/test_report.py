"""The report and its plots: complete, and the same bytes each time."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.common.figures import page, save
from components.common.metrics import DEFINITIONS, EVALUATED_SPLIT, SLICES, Figures, definitions
from components.evaluate.baselines import ABOVE, BASELINES_KEY, BesideBaseline
from components.evaluate.measure import CEILING, figures, metrics_by_task, retrieval
from components.evaluate.report import TEMPLATE, Results, context, draw, mistakes, write_report
from components.evaluate.settings import PromptSettings
from components.evaluate.zero_shot import ACCURACY, MAJORITY
from components.modalities.registry import MODALITIES
from components.tasks.classification.metrics import ClassificationMetrics
from components.tasks.classification.plot import plot as plot_confusion
from components.tasks.classification.settings import ClassificationSettings
from components.tasks.retrieval.metrics import RETRIEVAL_METRICS
from components.tasks.retrieval.plot import plot_ranks
from components.tasks.retrieval.settings import RetrievalSettings
from tests.support.tiny_model import EVERY_TASK, build_model

HISTORY = pd.DataFrame(
    [
        (epoch, series, task, 1 / (epoch + 2))
        for epoch in range(3)
        for series in ("loss", "accuracy all")
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
COLUMNS = ["sample_id", "subset", "task", "target", "prediction"]
PREDICTIONS = pd.DataFrame(
    [("1", "image", "answer", "yes", "no"), ("2", "image", "answer", "no", "no")], columns=COLUMNS
).assign(confidence=[0.875, 0.5])
RANKS = pd.DataFrame({"task": "find", "asset_id": list("abcd"), "rank": [1, 3, 3, 20]})
RANKS = RANKS.assign(targets=40)
FIND = RetrievalSettings(column="c", query="text", target="image")
BESIDE = BesideBaseline(
    task="answer",
    subset="image",
    baseline="majority",
    metric=ClassificationMetrics.primary(),
    sample_ids=PREDICTIONS["sample_id"],
    model=np.array([[1.0, 0.0], [1.0, 1.0]]),
    strongest=np.array([[0.625, 0.0], [1.0, 1.0]]),
)
CONTENT = {
    "accuracy": {"answer": {"image": 0.25, "image-text": 0.75}, "shape": {"image": 1.0}},
    **retrieval(RANKS, {"find": FIND}),
    ACCURACY.name: {"shape": {"image": 0.375}},
    MAJORITY: {"shape": {"image": 0.0625}},
    ABOVE.name: {"answer": {"image": 0.1875}},
    BASELINES_KEY: {"answer": {"majority": 0.3125, "image": 0.28125}},
    CEILING: {"answer": {"image": 0.5, "image-text": 0.8}, "shape": {"image": 1.0}},
    SLICES: {"answer": {"accent": {"us": {"image": 0.125}, "<b>uk</b>": {"image-text": 1.0}}}},
    DEFINITIONS: definitions(
        [*ClassificationMetrics.DEFINITIONS, *RETRIEVAL_METRICS, ACCURACY, ABOVE]
    ),
    EVALUATED_SPLIT: "test",
}


@pytest.fixture(scope="module")
def results() -> Results:
    """Results with something of everything."""
    classes = {"answer": ["no", "yes"], "shape": ["x", "y"]}
    tasks = {name: ClassificationSettings(column=name) for name in classes}
    model = build_model(tasks, {name: {"classes": found} for name, found in classes.items()})
    return Results(
        model=model,
        samples=1234,
        figures=Figures(CONTENT),
        predictions=PREDICTIONS,
        metrics=metrics_by_task(model),
        ranks=RANKS,
        alignment={"recall_at_1": {"text to image": 0.0525}, "recall_at_5": {"text to image": 0.5}},
        histories={"train": HISTORY},
        steps=STEPS,
        prompts={"shape": PromptSettings(templates=("a {}", "one {}"))},
        beside=[BESIDE],
        p_values=[0.03125],
        fits={"answer": {"image": {"examples": 4000, "of": 12345, "strength": 1.0}}},
    )


@pytest.fixture(scope="module")
def written(results, tmp_path_factory) -> Path:
    """The folder of a report."""
    folder = tmp_path_factory.mktemp("report")
    write_report(results, folder / "plots", folder / "report.html", workers=1)
    return folder


@pytest.fixture(scope="module")
def html(written) -> str:
    return (written / "report.html").read_text()


def without_results(results: Results, **changes) -> Results:
    """Return results of a model that predicted nothing."""
    kept = (DEFINITIONS, EVALUATED_SPLIT)
    empty = {"accuracy": {}, CEILING: {}, SLICES: {}, **{key: CONTENT[key] for key in kept}}
    nothing = {"predictions": PREDICTIONS[:0], "ranks": RANKS[:0], "steps": STEPS[:0]}
    others = {"histories": {"features_audio": HISTORY[:0]}, "prompts": {}, "alignment": {}}
    simple = {"beside": [], "p_values": [], "fits": {}}
    return replace(results, figures=Figures(empty), **(nothing | others | simple | changes))


def test_everything_has_its_plot(written):
    plots = {path.stem: path for path in (written / "plots").iterdir()}
    assert set(plots) == {
        *("accuracy_by_modalities", "history_train", "steps_train", "confusion_answer"),
        "ranks_find",
    }
    for path in plots.values():
        with Image.open(path) as image:
            assert min(image.size) > 200
            assert len(image.convert("RGB").getcolors(1_000_000)) > 5
            assert not {"Software", "Creation Time", "date"} & set(image.info)


def test_overfitting_is_named_and_has_no_panel(results, html):
    assert "training and validation part" not in html
    row = pd.DataFrame([(2, "training accuracy all", "shape", 0.97)], columns=HISTORY.columns)
    parted = replace(results, histories={"train": pd.concat([HISTORY, row])})
    (sentence,) = context(parted)["overfitting"]
    assert sentence.startswith(
        "train: training and validation part: accuracy all of shape is 0.97 in training, 0.25 in"
    )
    panels = draw(parted)["history_train"].axes
    assert [axis.get_title() for axis in panels] == ["loss", "accuracy all"]


def test_nothing_to_show_has_no_plot(results):
    assert draw(without_results(results)) == {}


def test_same_results_have_the_same_bytes_for_every_number_of_workers(results, written, tmp_path):
    write_report(results, tmp_path / "plots", tmp_path / "report.html", workers=2)
    for path in written.rglob("*.*"):
        assert (tmp_path / path.relative_to(written)).read_bytes() == path.read_bytes()


def test_other_results_have_another_plot(results, written, tmp_path):
    accuracy = CONTENT["accuracy"] | {"shape": {"image": 0.5}}
    changed = replace(results, figures=Figures(CONTENT | {"accuracy": accuracy}))
    save(draw(changed)["accuracy_by_modalities"], tmp_path / "changed.png")
    before = (written / "plots/accuracy_by_modalities.png").read_bytes()
    assert (tmp_path / "changed.png").read_bytes() != before


def test_report_has_every_figure(results, html):
    weights = sum(p.numel() for p in results.model.parameters())
    for text in ("1234 samples", "bilinear", f"{weights:,} weights", "25.00%", "75.00%", "80.00%"):
        assert text in html
    assert "12.50%" in html and "0.875" in html  # of a slice, and a confidence
    assert html.count("data:image/png;base64,") == 5
    for cells in (
        ("text to image", "5.25%", "50.00%"),
        ("find", "text to image", "4", "40", "25.00%", "75.00%", "75.00%", "3"),
        ("shape", "image", "37.50%", "6.25%", "a {}; one {}"),
        ("answer", "image", "2", "50.00%", "31.25%", "majority", "18.75%", "0.031"),
        ("31.25%", "28.12%"),  # of every baseline
    ):
        assert "".join(f"<td>{cell}</td>" for cell in cells) in html


def test_report_without_prompts_has_no_zero_shot(results):
    content = {key: value for key, value in CONTENT.items() if key not in (ACCURACY.name, MAJORITY)}
    changed = replace(results, figures=Figures(content), prompts={})
    assert "Zero-shot" not in page(TEMPLATE, context(changed), {})


def test_report_says_what_baselines_left_out(results, html):
    assert "a part of the training examples: answer, image: 4,000 of 12,345." in html
    whole = {"answer": {"image": {"examples": 40, "of": 40, "strength": 1.0}}}
    assert "a part of" not in page(TEMPLATE, context(replace(results, fits=whole)), {})


def test_report_without_baselines_says_nothing_of_them(results):
    assert "baseline" not in page(TEMPLATE, context(without_results(results)), {})


def test_report_needs_no_other_file(html):
    """Nor a network."""
    assert "http" not in html and "<script" not in html and "<link" not in html


def test_words_of_users_are_escaped(html):
    assert "<b>uk</b>" not in html and "&lt;b&gt;uk&lt;/b&gt;" in html


def test_report_without_mistakes_says_so(results):
    changed = replace(results, predictions=PREDICTIONS[1:])
    assert "None." in page(TEMPLATE, context(changed), {})


def test_report_without_results(results):
    html = page(TEMPLATE, context(without_results(results)), {})
    assert "<h2>Plots</h2>" in html and "Accuracy by task" not in html


def test_confusion_counts_every_prediction(results):
    figure = plot_confusion(PREDICTIONS, results.model.tasks["answer"], "answer")
    (axis, _) = figure.axes
    assert axis.images[0].get_array().tolist() == [[1.0, 0.0], [1.0, 0.0]]


def test_fraction_found_grows_with_k():
    (axis,) = plot_ranks(RANKS, "find").axes
    steps, median = axis.lines
    assert dict(zip(*steps.get_data(), strict=True)) == {1: 0.25, 3: 0.75, 20: 1.0, 40: 1.0}
    assert set(median.get_xdata()) == {3}
    assert axis.get_xscale() == "log" and "40" in axis.get_xlabel() and axis.get_ylabel()
    late = plot_ranks(RANKS.assign(rank=[4, 4, 8, 8]), "find").axes[0].lines[0]
    assert dict(zip(*late.get_data(), strict=True)) == {1: 0.0, 4: 0.5, 8: 1.0, 40: 1.0}


VOCABULARY = {
    "answer": {"classes": ["no", "yes"]},
    "tags": {"classes": ["cat", "dog"]},
    "size": {"mean": 10.0, "deviation": 4.0},
    "reply": {"classes": ["2", "red"]},
    "caption": {"merges": [], "max_tokens": 8, "decoding": "greedy"},
}
OF_EVERY_KIND = pd.DataFrame(
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
    columns=[*COLUMNS, "confidence"],
)
SAMPLES = pd.DataFrame(
    {
        "sample_id": ["1", "2"],
        **{f"{m}_id": [f"{m} 1", f"{m} 2"] for m in MODALITIES},
        "place": ["hill", "sea"],
    },
    dtype="str",
)


def of_kinds(results: Results, *tasks: str) -> Results:
    """Return results of some tasks of `EVERY_TASK`."""
    model = build_model({n: EVERY_TASK[n] for n in tasks}, {n: VOCABULARY[n] for n in tasks})
    metrics = metrics_by_task(model)
    predictions = OF_EVERY_KIND[OF_EVERY_KIND["task"].isin(tasks)]
    content = figures(predictions, SAMPLES, ["place"], metrics) | {EVALUATED_SPLIT: "test"}
    found = Figures(content)
    changes = {"model": model, "metrics": metrics, "predictions": predictions}
    return replace(without_results(results, **changes), figures=found)


def test_every_kind_has_its_plot_and_its_metrics(results, tmp_path):
    found = of_kinds(results, *EVERY_TASK)
    write_report(found, tmp_path / "plots", tmp_path / "report.html", workers=1)
    assert {path.stem for path in (tmp_path / "plots").iterdir()} == {
        *("accuracy_by_modalities", "confusion_answer", "precision_tags", "predicted_size"),
        *("answers_reply", "rouge_caption"),
    }
    html = (tmp_path / "report.html").read_text()
    for text in ("Mean absolute error by task", "<td>611</td>", "F1 by task", "66.67%"):
        assert text in html, text
    assert "size, mean absolute error by slice" in html and "<td>1222</td>" in html
    assert "Vqa accuracy by task" in html
    assert "Bleu 4 by task" in html and "Cider by task" in html and "Rouge l by task" in html


def test_most_confident_mistakes_come_first(results):
    """A number is never plainly wrong; mistakes without a confidence come last."""
    rows = mistakes(OF_EVERY_KIND, of_kinds(results, *EVERY_TASK).metrics)
    assert [(row["task"], row["prediction"]) for row in rows] == [
        *(("answer", "no"), ("reply", "red"), ("caption", "a blue dog"), ("tags", "cat, dog")),
    ]


def test_report_without_classification(results):
    found = of_kinds(results, "size")
    assert list(draw(found)) == ["predicted_size"]
    html = page(TEMPLATE, context(found), {})
    assert "Accuracy by task" not in html and "R2 by task" in html and "None." in html
