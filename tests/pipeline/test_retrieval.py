"""A retrieval task from table to report: photos and texts of products, in separate rows."""

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.common.metrics import DEFINITIONS
from components.data.samples import read_samples
from components.data.tables import read_table
from components.ingest.quarantine import QUARANTINE
from components.modalities.registry import MODALITIES
from components.register.run_log import read_figures, trainings
from components.tasks.retrieval.metrics import RANKS
from components.training.tables import HISTORY
from tests.support.params import small_params, write_params
from tests.support.stages import STAGES, run_by_hand

COLOURS = ("red", "green", "blue", "grey")
CHANGES = {
    "ingest.source": {
        "kind": "table",
        "files": ["rows.csv"],
        "id": "id",
        "columns": {"image": "photo", "text": "words"},
        "split": "part",
    },
    "ingest.slices": [],
    "tasks": {
        "colour": {"column": "colour"},
        "find_photo": {
            "kind": "retrieval",
            "column": "product",
            "query": "text",
            "target": "image",
        },
    },
    "align.epochs": 4,
}
PRODUCTS = 20


def part_of(product: int) -> str:
    return ("train", "train", "train", "validation", "test")[product % 5]


def write_source(folder: Path) -> None:
    """Write per product two photos and two texts, each in a row; some rows name no product."""
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
def done(tmp_path_factory) -> Path:
    """Return the folder after the stages from ingest to evaluate."""
    here = tmp_path_factory.mktemp("retrieval")
    write_source(here / "source")
    write_params(here / "params.yaml", small_params(CHANGES))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        run_by_hand([name for name in STAGES if name != "register"])
    return here


@pytest.fixture(scope="module")
def samples(done) -> pd.DataFrame:
    return read_samples(done / "data/samples.parquet", MODALITIES)


@pytest.fixture(scope="module")
def ranks(done) -> pd.DataFrame:
    return read_table(done / "data/ranks.parquet", RANKS)


def test_products_unknown_to_training_are_no_bad_rows(done, samples):
    assert len(samples) == 4 * PRODUCTS + 2
    assert read_table(done / "data/quarantine.parquet", QUARANTINE).empty
    known = set(samples.loc[samples["split"] == "train", "product"])
    assert not known & set(samples.loc[samples["split"] == "test", "product"])


def test_retrieval_has_no_vocabulary_and_no_head(done):
    assert json.loads((done / "data/vocabulary.json").read_text())["find_photo"] == {}
    assert set(json.loads((done / "reports/data.json").read_text())["classes"]) == {"colour"}
    config = json.loads((done / "models/synesthesia/config.json").read_text())
    assert set(config["tasks"]) == {"colour"}
    predictions = pd.read_parquet(done / "data/predictions.parquet")
    assert set(predictions["task"]) == {"colour"}


def test_each_text_of_a_product_with_photos_is_a_query(samples, ranks):
    test = samples[(samples["split"] == "test") & samples["product"].notna()]
    queries = test.loc[test["product"] != "p99", "text_id"].dropna()
    assert set(ranks["asset_id"]) == set(queries) and len(ranks) == len(queries)
    assert set(ranks["targets"]) == {test["image_id"].nunique()}
    assert (ranks["rank"] < ranks["targets"]).all()  # of the two right photos one comes first


def test_metrics_are_by_task_and_direction(done, ranks):
    """In the report's JSON, and as they are logged to MLflow."""
    metrics = json.loads((done / "reports/metrics.json").read_text())
    expected = {f"recall_at_{k}": float((ranks["rank"] <= k).mean()) for k in (1, 5, 10)}
    expected["median_rank"] = float(ranks["rank"].median())
    for metric, value in expected.items():
        assert metrics[metric] == {"find_photo": {"text to image": value}}
    assert list(metrics["accuracy"]) == ["colour"]
    assert set(expected) < {row["name"] for row in metrics[DEFINITIONS]}
    reports = done / "reports"
    figures = read_figures(reports / "metrics.json", reports / "retrieval.json")
    found = trainings(reports / "history", reports / "steps/train.parquet")
    (align,) = (training for training in found if training.stage == "align")
    for metric, value in expected.items():
        assert figures[f"{metric}/find_photo/text to image"] == value
        assert f"{metric}/find_photo" in {point.name for point in align.points}


def test_every_epoch_of_align_is_validated(done):
    history = read_table(done / "reports/history/align.csv", HISTORY)
    assert set(history["task"]) == {"find_photo"}  # no sample has both modalities
    recalls = {f"recall_at_{k}" for k in (1, 5, 10)}
    assert set(history["series"]) == {"loss", "median_rank", *recalls}
    loss = history.loc[history["series"] == "loss", "value"].tolist()
    assert len(loss) == 4 and loss[-1] < loss[0]


def test_report_shows_retrieval(done):
    page = (done / "reports/report.html").read_text()
    assert (
        "<h2>Retrieval tasks</h2>" in page and "<td>find_photo</td><td>text to image</td>" in page
    )
    assert (done / "reports/plots/ranks_find_photo.png").exists()


def test_second_run_of_align_gives_the_same_bytes(done, tmp_path, monkeypatch):
    row, outputs = STAGES["align"], ("projections", "embeddings", "ranks", "metrics")
    monkeypatch.chdir(done)
    words = row.by_hand
    for name in (*outputs, "history", "checkpoint"):
        words[words.index(f"--{name}") + 1] = str(tmp_path / name)
    row.stage.main(words)
    for name in outputs:
        before = getattr(row.arguments, name).read_bytes()
        assert (tmp_path / name).read_bytes() == before, name
