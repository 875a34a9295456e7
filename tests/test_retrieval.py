"""A retrieval task from table to report: photos and texts of products, in rows of their own."""

import csv
import importlib
import json
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.data.tables import HISTORY, QUARANTINE, RANKS, SAMPLES, read_table
from components.register.run_log import test_points as points_of_test
from components.register.run_log import trainings
from tests.shrunk import small_params, write_params
from tests.stages import STAGES, run_by_hand

COLOURS = ("red", "green", "blue", "grey")
TASKS = {
    "colour": {"kind": "classification", "column": "colour", "decided_by": [], "weight": 1.0},
    "find_photo": {
        "kind": "retrieval",
        "column": "product",
        "query": "text",
        "target": "image",
        "weight": 1.0,
    },
}
CHANGES = {
    "ingest.source": "table",
    "ingest.table": {
        "files": ["rows.csv"], "id": "id", "image": "photo", "text": "words", "split": "part",
    },
    "ingest.slices": [],
    "tasks": TASKS,
    "align.epochs": 4,
}  # fmt: skip
PRODUCTS = 20


def part_of(product: int) -> str:
    return ("train", "train", "train", "validation", "test")[product % 5]


def write_source(folder) -> None:
    """Of each product two photos and two texts, each in a row; some rows name no product."""
    folder.mkdir()
    random = np.random.default_rng(0)
    with open(folder / "rows.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "photo", "words", "product", "colour", "part"])
        for product in range(PRODUCTS):
            colour, part = COLOURS[product % len(COLOURS)], part_of(product)
            for view in range(2):
                noise = random.integers(0, 256, (24, 24, 3), dtype=np.uint8)
                Image.fromarray(noise).save(folder / f"{product}-{view}.png")
                photo, words = f"{product}-{view}.png", f"{colour} thing {product}, seen {view}"
                table.writerow([f"i{product}{view}", photo, "", f"p{product}", colour, part])
                table.writerow([f"t{product}{view}", "", words, f"p{product}", colour, part])
        table.writerow(["nameless", "", "a thing of nobody", "", "red", "test"])
        table.writerow(["lonely", "", "a text without a photo", "p99", "red", "test"])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The folder after the stages from ingest to evaluate."""
    here = tmp_path_factory.mktemp("retrieval")
    write_source(here / "source")
    write_params(here / "params.yaml", small_params(CHANGES))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        run_by_hand([name for name in STAGES if name != "register"], patch)
    return here


def test_products_that_training_never_had_are_no_bad_rows(done):
    samples = read_table(done / "data/samples.parquet", SAMPLES)
    assert len(samples) == 4 * PRODUCTS + 2
    assert read_table(done / "data/quarantine.parquet", QUARANTINE).empty
    known = set(samples.loc[samples["split"] == "train", "product"])
    assert not known & set(samples.loc[samples["split"] == "test", "product"])


def test_it_has_no_vocabulary_no_head_and_no_classes_in_the_data_report(done):
    assert json.loads((done / "data/vocabulary.json").read_text())["find_photo"] == {}
    assert set(json.loads((done / "reports/data.json").read_text())["classes"]) == {"colour"}
    config = json.loads((done / "models/synesthesia/config.json").read_text())
    assert set(config["tasks"]) == {"colour"}
    predictions = pd.read_parquet(done / "data/predictions.parquet")
    assert set(predictions["task"]) == {"colour"}


def test_each_text_of_a_product_with_photos_is_a_query(done):
    samples = read_table(done / "data/samples.parquet", SAMPLES)
    ranks = read_table(done / "data/ranks.parquet", RANKS)
    test = samples[(samples["split"] == "test") & samples["product"].notna()]
    asked = test.loc[test["product"] != "p99", "text_id"].dropna()
    assert set(ranks["asset_id"]) == set(asked) and len(ranks) == len(asked)
    assert set(ranks["targets"]) == {test["image_id"].nunique()}
    assert (ranks["rank"] < ranks["targets"]).all()  # of the two right photos one comes first


def test_metrics_are_by_task_and_direction_in_json_and_in_mlflow(done):
    ranks = read_table(done / "data/ranks.parquet", RANKS)["rank"]
    metrics = json.loads((done / "reports/metrics.json").read_text())
    expected = {f"recall_at_{k}": float((ranks <= k).mean()) for k in (1, 5, 10)}
    expected["median_rank"] = float(ranks.median())
    for metric, value in expected.items():
        assert metrics[metric] == {"find_photo": {"text→image": value}}
    assert list(metrics["accuracy"]) == ["colour"]
    points = points_of_test(done / "reports/metrics.json", done / "reports/retrieval.json")
    logged = {point.name: point.value for point in points}
    found = trainings(done / "reports/history", done / "reports/steps/train.parquet")
    (align,) = (training for training in found if training.stage == "align")
    for metric, value in expected.items():
        assert logged[f"{metric}/find_photo/text_to_image"] == value
        assert f"{metric}/find_photo" in {point.name for point in align.points}


def test_it_is_learnt_and_measured_in_every_epoch_of_align(done):
    history = read_table(done / "reports/history/align.csv", HISTORY)
    assert set(history["task"]) == {"find_photo"}  # no sample has both modalities
    assert set(history["series"]) == {
        "loss", "recall_at_1", "recall_at_5", "recall_at_10", "median_rank",
    }  # fmt: skip
    loss = history.loc[history["series"] == "loss", "value"].tolist()
    assert len(loss) == 4 and loss[-1] < loss[0]


def test_the_report_shows_it(done):
    page = (done / "reports/report.html").read_text()
    assert "<h2>Retrieval tasks</h2>" in page and "<td>find_photo</td><td>text→image</td>" in page
    assert (done / "reports/plots/found_find_photo.png").exists()


def test_the_same_again_gives_the_same_bytes(done, tmp_path, monkeypatch):
    row = STAGES["align"]
    outs = {name: tmp_path / name for name in row.stage.outputs}
    words = [row.module]
    for name, value in row.options.items():
        words += [f"--{name}", str(outs.get(name, value))]
    monkeypatch.chdir(done)
    monkeypatch.setattr(sys, "argv", words)
    module = importlib.import_module(row.import_name)
    module.STAGE.run(module.work)
    for name in ("projections", "embeddings", "ranks", "metrics"):
        assert outs[name].read_bytes() == (done / row.options[name]).read_bytes(), name
