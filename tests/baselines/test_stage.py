"""The whole stage: baselines learn what is there to be learnt, and nothing else."""

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from components.baselines import examples, learn
from components.baselines.__main__ import STAGE
from components.common.files import read_json, write_json
from components.common.hashing import content_id
from components.data.samples import asset_column, samples_schema
from components.data.shards import Asset, MediaWriter
from components.data.tables import read_table, write_table
from components.modalities.registry import MODALITIES, plain_features_of
from components.tasks.baseline import BASELINES
from components.tasks.classification.labels import ClassLabels
from components.tasks.classification.settings import ClassificationSettings
from tests.support.media import encoded, wav
from tests.support.params import small_params, write_params
from tests.support.sounds import tone

COLOURS = ("red", "blue")
SIZES = {"train": 120, "validation": 60, "test": 120}
TASKS = {
    "colour": {"kind": "classification", "column": "colour"},
    "shown": {"kind": "classification", "column": "colour", "sufficient_modalities": ["image"]},
    "tags": {"kind": "multilabel", "column": "tags"},
    "price": {"kind": "regression", "column": "price"},
    "caption": {"kind": "generation", "column": "caption"},
}
COLOUR = {"colour": TASKS["colour"]}
VOCABULARY = {
    "colour": {"classes": ["blue", "red"]},
    "shown": {"classes": ["blue", "red"]},
    "tags": {"classes": ["blue", "even", "red"]},
    "price": {"mean": 10.0, "deviation": 4.0},
    "caption": {"merges": [], "max_tokens": 8, "decoding": "greedy"},
}


@cache
def contents(row: int, colour: str) -> dict[str, bytes]:
    """Return files of a sample, each of which tells its colour, and one also its price."""
    shade = 200 - row % 100
    pixels = (shade, 20, 20) if colour == "red" else (20, 20, shade)
    return {
        "image": encoded(Image.new("RGB", (24 + row % 9, 24), pixels)),
        "text": f"thing {row} seems {colour} to me".encode(),
        "audio": wav(tone(440 if colour == "red" else 1760, 0.3 + row / 1000)),
        "tabular": f'{{"tint": "{colour}", "price": {row % 17}}}'.encode(),
    }


def write_world(folder: Path, changes=lambda table: table, **params) -> None:
    """Write what the stage reads: each file and folder has the name of its option.

    Args:
        folder: for the files.
        changes: of the samples.
        params: changes of settings, with _ for a dot.
    """
    rng = np.random.default_rng(0)
    splits = [split for split, size in SIZES.items() for _ in range(size)]
    colours = rng.choice(COLOURS, len(splits), p=(0.6, 0.4)).tolist()
    files = [contents(row, colour) for row, colour in enumerate(colours)]
    table = pd.DataFrame({"sample_id": [f"{n:04d}" for n in range(len(splits))], "split": splits})
    for m in MODALITIES:
        writer = MediaWriter(folder / "media" / m)
        ids = [content_id(of[m]) for of in files]
        for asset_id, content in dict(zip(ids, (of[m] for of in files), strict=True)).items():
            writer.add(Asset(asset_id, content))
        writer.close()
        table[asset_column(m)] = ids
    table["colour"] = colours
    table["tags"] = [(c, "even") if n % 2 else (c,) for n, c in enumerate(colours)]
    table["price"] = [float(n % 17) for n in range(len(splits))]
    table["caption"] = [(f"a {colour} thing",) for colour in colours]
    table = changes(table.astype({m: "str" for m in ("sample_id", "split", "colour")}))
    write_table(folder / "samples", table, samples_schema(MODALITIES))
    write_json(folder / "vocabulary", VOCABULARY)
    settings = {key.replace("_", "."): value for key, value in params.items()}
    write_params(folder / "params", small_params({"tasks": TASKS} | settings))


def run(folder: Path) -> tuple[pd.DataFrame, dict]:
    """Run the stage; return what it wrote."""
    names = ("params", "samples", "vocabulary", "media", "baselines", "fits")
    STAGE.main([word for name in names for word in (f"--{name}", str(folder / name))])
    return read_table(folder / "baselines", BASELINES), read_json(folder / "fits")


def values(table: pd.DataFrame, task: str, split: str = "test") -> dict[str, float]:
    """Return the primary metric of each baseline of a task."""
    rows = table[(table["task"] == task) & (table["split"] == split)]
    sums = rows.groupby("baseline", sort=False)[["numerator", "denominator"]].sum()
    return {str(n): float(value) for n, value in (sums["numerator"] / sums["denominator"]).items()}


def shuffled(table: pd.DataFrame) -> pd.DataFrame:
    """Return samples with the labels of others."""
    order = np.random.default_rng(1).permutation(len(table))
    return table.assign(colour=table["colour"].to_numpy()[order])


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("baselines")
    write_world(folder)
    return folder


@pytest.fixture(scope="module")
def found(world) -> tuple[pd.DataFrame, dict]:
    return run(world)


def test_every_modality_beats_the_majority(found):
    accuracy = values(found[0], "colour")
    majority = accuracy.pop("majority")
    assert len(accuracy) == 2 ** len(MODALITIES) - 1
    assert 0.4 < majority < 0.8
    assert all(value > 0.97 for value in accuracy.values()), accuracy


def test_sets_of_classes_and_numbers_are_learnt(found):
    f1, error = values(found[0], "tags"), values(found[0], "price")
    assert f1["text"] > f1["majority"]
    assert error["tabular"] < 0.5 < 3 < error["mean"]


def test_shuffled_labels_give_chance(tmp_path):
    write_world(tmp_path, shuffled, tasks=COLOUR | {"price": TASKS["price"]})
    table, _ = run(tmp_path)
    accuracy = values(table, "colour")
    assert max(accuracy.values()) < 0.7
    assert values(table, "price")["tabular"] < 0.5  # those of another task are as before


def test_kinds_without_a_baseline_have_none(found):
    table, fits = found
    assert set(table["task"]) == set(fits) == TASKS.keys() - {"caption"}


def test_baselines_see_modalities_that_suffice(found):
    table, fits = found
    names = set(table.loc[table["task"] == "shown", "baseline"]) - {"majority"}
    assert names == set(fits["shown"]) == {"image"}


def test_same_inputs_give_the_same_bytes(world, found, tmp_path):
    before = (world / "baselines").read_bytes(), (world / "fits").read_bytes()
    run(world)
    assert ((world / "baselines").read_bytes(), (world / "fits").read_bytes()) == before


def test_bytes_do_not_depend_on_workers(world, found, tmp_path):
    write_world(tmp_path, workers=1)
    run(tmp_path)
    for name in ("baselines", "fits"):
        assert (tmp_path / name).read_bytes() == (world / name).read_bytes()


def test_samples_without_a_modality_are_left_to_others(tmp_path):
    def without(table: pd.DataFrame) -> pd.DataFrame:
        missing = np.arange(len(table)) % 3 == 0
        images = table["image_id"].where(~missing)
        return table.assign(
            image_id=images, audio_id=table["audio_id"].where(table["split"] == "x")
        )

    write_world(tmp_path, without, tasks=COLOUR)
    table, fits = run(tmp_path)
    test = table[(table["split"] == "test") & (table["task"] == "colour")]
    counts = {str(name): count for name, count in test["baseline"].value_counts().items()}
    assert counts["majority"] == counts["text"] == SIZES["test"]
    assert counts["image"] == counts["image-text"] == SIZES["test"] * 2 // 3
    assert not [name for name in counts if "audio" in name]
    assert set(fits["colour"]) == {"image", "text", "tabular"}


def test_one_class_is_predicted_for_all(tmp_path):
    """As where one modality occurs with one class only."""

    def one(table: pd.DataFrame) -> pd.DataFrame:
        odd = (table["split"] == "train") & (table["colour"] != "red")
        return table.assign(text_id=table["text_id"].where(~odd))

    write_world(tmp_path, one, tasks=COLOUR)
    accuracy = values(run(tmp_path)[0], "colour")
    assert accuracy["text"] == pytest.approx(accuracy["majority"])
    assert accuracy["image-text"] == accuracy["image"] > 0.9


@pytest.mark.parametrize("split", ["test", "validation"])
def test_splits_without_labels_have_no_rows(tmp_path, split):
    def unlabelled(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(colour=table["colour"].where(table["split"] != split))

    write_world(tmp_path, unlabelled, tasks=COLOUR)
    table, fits = run(tmp_path)
    left = {"validation", "test"} - {split}
    assert set(table.loc[table["task"] == "colour", "split"]) == left
    if split == "validation":
        assert {fit["strength"] for fit in fits["colour"].values()} == {learn.DEFAULT_STRENGTH}


def test_no_held_out_sample_gives_an_empty_table(tmp_path):
    write_world(tmp_path, lambda table: table.assign(split="train"), tasks=COLOUR)
    assert run(tmp_path)[0].empty


def test_strength_is_chosen_without_the_test_split(world, found, tmp_path):
    """Other labels of the test split change no model."""

    def spoilt(table: pd.DataFrame) -> pd.DataFrame:
        test = table["split"] == "test"
        return table.assign(colour=table["colour"].where(~test, "red"))

    write_world(tmp_path, spoilt, tasks=COLOUR)
    table, fits = run(tmp_path)
    assert fits == {"colour": found[1]["colour"]}
    assert values(table, "colour", "validation") == values(found[0], "colour", "validation")


def test_large_data_are_thinned_out(world, tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "MAX_EXAMPLES", 40)
    monkeypatch.setattr(examples, "MAX_HELD_OUT", {"validation": 20, "test": 30})
    write_world(tmp_path)
    table, fits = run(tmp_path)
    assert fits["colour"]["text"] | {"strength": 0} == {"examples": 40, "of": 120, "strength": 0}
    assert table[table["baseline"] == "image"].groupby(["task", "split"]).size().to_dict() == {
        (task, split): size
        for task in ("colour", "price", "shown", "tags")
        for split, size in (("test", 30), ("validation", 20))
    }
    assert values(table, "colour")["text"] > 0.9


def test_repeated_examples_weigh_as_often_as_they_occur():
    """Each label of an asset that has several, too."""
    train = pd.DataFrame({"image_id": list("aaba"), "colour": ["red", "red", "blue", "blue"]})
    labels = ClassLabels(["blue", "red"])
    pairs = examples.examples(train, "image", "colour", labels)
    assert (pairs.assets, pairs.labels, pairs.weights.tolist()) == (
        ["a", "a", "b"],
        ["blue", "red", "blue"],
        [1, 2, 1],
    )


@pytest.mark.parametrize(
    ("balance", "is_balanced"), [("none", False), ("weights", True), ("sampling", True)]
)
def test_rare_classes_count_as_much_as_for_the_model(balance, is_balanced):
    """So that both aim at the same."""
    settings = ClassificationSettings(column="colour", balance=balance)
    held_out = pd.DataFrame({"colour": ["red"]})
    task = learn.baseline_task("colour", settings, VOCABULARY["colour"], held_out)
    assert task is not None and task.baseline.is_balanced == is_balanced


def test_setting_turns_them_off(tmp_path):
    write_world(tmp_path, evaluate_baselines=False)
    table, fits = run(tmp_path)
    assert table.empty and fits == {}


def test_modality_without_plain_features_is_not_seen(world, monkeypatch):
    known = {m: plain_features_of(m) for m in MODALITIES} | {"image": None}
    monkeypatch.setattr(learn, "plain_features_of", known.get)
    table, fits = run(world)
    assert set(fits["colour"]) == set(MODALITIES) - {"image"}
    assert set(table.loc[table["task"] == "shown", "baseline"]) == {"majority"}


def test_missing_asset_is_named(tmp_path, capsys):
    write_world(tmp_path)
    writer = MediaWriter(tmp_path / "media/text")
    writer.close()
    with pytest.raises(SystemExit, match="2"):
        run(tmp_path)
    assert "media/text lacks 300 assets" in capsys.readouterr().err
