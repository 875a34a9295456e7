"""A user's own table through the whole pipeline: nothing but params.yaml is edited."""

import contextlib
import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from components.data.samples import read_samples
from components.data.tables import read_table
from components.ingest.quarantine import QUARANTINE
from components.modalities.registry import MODALITIES
from components.tasks.metrics import PREDICTIONS
from flows.dvc.stages import Stages
from flows.explain import explain
from tests.support.clone import Clone
from tests.support.params import ROOT
from tests.support.stages import STAGES
from tests.support.tiny_model import PRESENT

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
ROWS = 90
FEATURES = ("features_image", "features_text", "features_audio")
CHANGES = {
    "ingest.source": {
        "kind": "table",
        "files": ["*.csv"],
        "id": "id",
        "columns": {"image": "photo", "text": "caption"},
    },
    "ingest.splits.group": "image",
    "ingest.splits.validation": 0.2,
    "ingest.splits.test": 0.3,
    "ingest.slices": ["shop"],
    "evaluate.prompts": {"colour": {"templates": ["das ist {}"], "words": {}}},
    "tasks": {
        "colour": {
            "kind": "classification",
            "column": "colour",
            "sufficient_modalities": ["image"],
            "weight": 1,
        },
        "tags": {
            "kind": "multilabel",
            "column": "tags",
            "sufficient_modalities": [],
            "weight": 0.5,
        },
        "price": {
            "kind": "regression",
            "column": "price",
            "sufficient_modalities": [],
            "weight": 0.5,
        },
        "note": {
            "kind": "generation",
            "column": "note",
            "sufficient_modalities": ["image"],
            "weight": 0.5,
            "vocab_size": 280,
            "max_tokens": 6,
            "decoding": "beam/2",
        },
        "copy": {
            "kind": "generation",
            "column": "text",
            "sufficient_modalities": ["text"],
            "weight": 0.5,
            "vocab_size": 300,
            "max_tokens": 12,
            "decoding": "nucleus/0.9",
        },
        "find_photo": {
            "kind": "retrieval",
            "column": "image_id",
            "query": "text",
            "target": "image",
            "weight": 0.5,
        },
    },
}


def write_source(folder: Path) -> None:
    """Write photos of coloured things with captions; a photo is broken, captions are missing."""
    random = np.random.default_rng(0)
    (folder / "photos").mkdir(parents=True)
    with open(folder / "things.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", "photo", "caption", "colour", "tags", "price", "shop", "note"])
        for row in range(ROWS):
            colour = list(COLOURS)[row % 3]
            pixels = np.clip(np.array(COLOURS[colour]) + random.normal(0, 20, (40, 50, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"photos/{row}.jpg")
            caption = f"das ist {colour}, 第{row}号" if row % 5 else ""
            tags = "|".join(["warm"] * (colour == "red") + ["even"] * (row % 2 == 0))
            name = ["Ost", "West"][row % 2]
            # A text, several references, one that is cut, a number, or nothing.
            note = [colour, f'["{colour}", "{colour}!"]', f"{colour} " * 9, row, " "][row % 5]
            cells = [f"t{row}", f"photos/{row}.jpg", caption, colour, tags, row / 4, name, note]
            table.writerow(cells)
        table.writerow(["broken", "photos/broken.jpg", "kaputt", "red", "warm", 1, "Ost", "red"])
    (folder / "photos/broken.jpg").write_bytes(b"not a photo")


@pytest.fixture(scope="module")
def clone(tmp_path_factory, empty_store) -> Clone:
    """A clone after `dvc repro` on the user's table."""
    made = Clone.fresh(tmp_path_factory.mktemp("own") / "clone", CHANGES)
    shutil.copy(empty_store, made.path / "mlflow.db")
    write_source(made.path / "source")
    made.run("dvc", "repro", "-q")
    return made


def test_rows_are_samples_or_in_quarantine(clone):
    samples = read_samples(clone.path / "data/samples.parquet", MODALITIES)
    quarantine = read_table(clone.path / "data/quarantine.parquet", QUARANTINE)
    assert len(samples) == ROWS
    assert samples["text_id"].isna().sum() == ROWS / 5
    assert samples["audio_id"].isna().all()
    assert quarantine[["row_id", "reason"]].to_numpy().tolist() == [["broken", "image_undecodable"]]


def test_each_kind_of_task_has_its_metrics(clone):
    metrics = clone.read_json("reports/metrics.json")
    assert metrics["accuracy"].keys() == {"colour"}
    assert metrics["f1"].keys() == {"tags"}
    assert metrics["mean_absolute_error"].keys() == {"price"}
    for metric in ("bleu_4", "rouge_l", "cider"):
        assert metrics[metric].keys() == {"note", "copy"}
        assert metrics[metric]["note"].keys() == {"image", "image-text"}
        assert metrics[metric]["copy"].keys() == {"text", "image-text"}
    assert metrics["accuracy"]["colour"].keys() == {"image", "image-text"}
    assert "shop" in metrics["slices"]["colour"]
    assert metrics["zero_shot_accuracy"].keys() == {"colour"}
    assert metrics["zero_shot_accuracy"]["colour"].keys() == {"image"}  # which is sufficient
    for metric in ("recall_at_1", "recall_at_5", "recall_at_10", "median_rank"):
        assert metrics[metric]["find_photo"].keys() == {"text to image"}


def test_nothing_is_left_to_do_and_model_predicts(clone):
    assert "up to date" in clone.run("dvc", "status")
    photo = str(clone.path / "source/photos/0.jpg")
    answer = clone.run("components.serving.predict", "--image", photo, "--text", "das ist rot")
    found = {line.split()[0] for line in answer.splitlines()}
    assert found == {"colour", "tags", "price", "note", "copy"}


def test_generated_texts_are_learnt_and_recorded(clone):
    samples = read_samples(clone.path / "data/samples.parquet", MODALITIES).set_index("sample_id")
    assert list(samples.loc["t1", "note"]) == ["green", "green!"]
    assert list(samples.loc["t3", "note"]) == ["3"] and samples.loc["t4", "note"] is None
    assert list(samples.loc["t7", "text"]) == ["das ist green, 第7号"]
    assert samples.loc["t5", "text"] is None  # it has no text
    vocabulary = clone.read_json("data/vocabulary.json")
    assert len(vocabulary["note"]["merges"]) <= 280 - 257
    predictions = read_table(clone.path / "data/predictions.parquet", PREDICTIONS)
    notes = predictions[predictions["task"] == "note"]
    expected = set(samples.index[(samples["split"] == "test") & samples["note"].notna()])
    assert set(notes["sample_id"]) == expected and notes["confidence"].notna().all()
    assert all(isinstance(json.loads(target), list) for target in notes["target"])


def test_untrained_modality_is_refused(clone):
    ask = ["components.serving.predict", "--audio", str(clone.path / "source/photos/0.jpg")]
    clone.refused("audio", *ask)


def test_more_data_moves_no_sample_to_another_split(clone, tmp_path):
    more = clone.copy(tmp_path / "clone")
    with open(more.path / "source/more.csv", "w", encoding="utf-8") as file:
        file.write("id,photo,caption,colour,tags,price,shop\n")
        file.writelines(f"n{n},,neu {n},red,warm,{n},Ost\n" for n in range(20))
    more.run("dvc", "repro", "-q", "ingest")
    before, after = (
        read_samples(c.path / "data/samples.parquet", MODALITIES).set_index("sample_id")["split"]
        for c in (clone, more)
    )
    assert len(after) == len(before) + 20
    assert (after[before.index] == before).all()


def test_exported_encoders_compute_new_shards_only(clone, tmp_path):
    """As docs/incremental.md says; features of what was there stay as they are."""
    again = clone.copy(tmp_path / "clone")
    how_to = (ROOT / "docs/incremental.md").read_text()
    commands = re.search(r"```sh\n(.*?)```", how_to, re.S)[1]
    subprocess.run(commands, shell=True, check=True, cwd=again.path, env=again.environment())
    settings = yaml.safe_load(re.search(r"```yaml\n(.*?)```", how_to, re.S)[1])
    files = {m: section["pretrained"] for m, section in settings["features"].items()}
    exported = [m for m, file in files.items() if (again.path / "pretrained" / m / file).exists()]
    assert exported == ["image", "text"]  # the modalities of the model
    changes = {f"features.{m}.pretrained": files[m] for m in exported}
    tokenizer = {"preprocess.text.tokenizer": settings["preprocess"]["text"]["tokenizer"]}
    again.set(**CHANGES, **changes, **tokenizer)

    def computed() -> list[str]:
        output = again.run("dvc", "repro", *FEATURES)
        return sorted(re.findall(r"\w+: \d+ shards computed|no sample has \w+", output))

    def explained() -> str:
        with contextlib.chdir(again.path):
            return str(explain(Stages()))

    assert set(computed()) == {"image: 0 shards computed", "text: 0 shards computed"}
    with open(again.path / "source/more.csv", "w", encoding="utf-8") as file:
        file.write("id,photo,caption,colour,tags,price,shop\n")
        file.writelines(f"n{n},,neu {n},red,warm,{n},Ost\n" for n in range(20))
    idle = ["image: 0 shards computed", "no sample has audio"]
    assert computed() == [*idle, *["text: 1 shards computed"] * 2]  # all texts are in one
    for m in PRESENT:
        name = f"models/encoders/{m}.safetensors"
        assert again.read(name) == clone.read(name)
    assert "pretrained" not in explained()
    with open(again.path / "pretrained/image" / files["image"], "ab") as file:
        file.write(b"edited")
    assert "pretrained/image" in explained()
    again.refused("features.image.pretrained", *STAGES["features_image"].call)
