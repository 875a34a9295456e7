"""Names, tags and the input example of the register stage; the command that asks a model."""

import json

import pandas as pd
import pytest
from components.modalities.registry import MODALITIES
from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from components.common.errors import InputError
from components.common.hashing import content_id
from components.data.shards import Asset, MediaWriter
from components.register.__main__ import columns
from components.register.packaged import input_example, read_asset
from components.registry.naming import flatten, metric_name
from tests.shrunk import assert_refused, png, run_python, shipped, wav, write_params

PREDICT = ("-m", "components.serving.predict")


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("accuracy", "answer", "image+text"), "accuracy/answer/image_text"),
        (("recall_at_1", "text→audio"), "recall_at_1/text_to_audio"),
        (("recall_at_1", "find", "text→image"), "recall_at_1/find/text_to_image"),
        (("align", "loss", "image–text"), "align/loss/image_text"),
        (("train", "accuracy (image+text)", "answer"), "train/accuracy image_text/answer"),
        (
            ("slices", "answer", "accent", "en-gb-x-rp", "image"),
            "slices/answer/accent/en-gb-x-rp/image",
        ),
    ],
)
def test_metric_names_say_what_they_are(parts, name):
    assert metric_name(*parts) == name


@pytest.mark.parametrize(
    "value", ["yes/no", "???", "", ".", "..", "a//b", "naïve", "东京", "50 %", "a\nb", "x" * 40]
)
def test_mlflow_accepts_the_name_of_any_label_or_slice(value):
    _validate_metric_name(metric_name("slices", "answer", "accent", value, "image"))
    _validate_metric_name(metric_name("accuracy", value))


def test_parameters_are_flat_and_mlflow_accepts_their_names():
    flat = dict(flatten(shipped()))
    assert flat["preprocess.audio.hop"] == 512
    assert json.loads(flat["ingest.demo.voices.train"])[0] == "en/150/35"
    for name, value in flat.items():
        _validate_param_name(metric_name(*name.split("/")))
        assert len(str(value)) <= 6000


def write_media(folder, contents: dict[str, list[bytes]]) -> None:
    for modality, items in contents.items():
        writer = MediaWriter(folder / modality)
        for item in items:
            writer.add(Asset(content_id(item), item))
        writer.close()


def test_the_input_example_is_the_test_sample_with_the_most_modalities(tmp_path):
    write_media(tmp_path, {"image": [png(0), png(1)], "text": ["é?".encode()], "audio": [wav(0)]})
    rows = [
        ("train", png(0), "é?".encode(), wav(0)),
        ("test", png(0), None, None),
        ("test", png(1), "é?".encode(), None),
    ]
    table = pd.DataFrame(
        [(s, *(c and content_id(c) for c in contents)) for s, *contents in rows],
        columns=["split", "image_id", "text_id", "audio_id"],
        dtype="str",
    )
    example = input_example(table, tmp_path, MODALITIES)
    assert example.to_dict("records") == [{"image": png(1), "text": "é?"}]


def test_an_asset_that_is_nowhere_is_named(tmp_path):
    write_media(tmp_path, {"image": [png(0)]})
    with pytest.raises(InputError, match=f"does not hold the asset {content_id(b'x')}"):
        read_asset(tmp_path / "image", content_id(b"x"))


def test_asking_nothing_is_the_user_s_mistake(tmp_path):
    assert_refused(run_python(*PREDICT, cwd=tmp_path), "nothing to answer: give --image, --text")


def test_a_file_that_is_missing_is_named(tmp_path):
    process = run_python(*PREDICT, "--image", "cat.png", cwd=tmp_path)
    assert_refused(process, "--image: cat.png cannot be read: No such file")


def test_without_a_model_it_says_where_it_looked_and_how_to_make_one(tmp_path):
    params = write_params(tmp_path / "params.yaml", shipped())
    process = run_python(*PREDICT, "--text", "hello?", "--params", str(params), cwd=tmp_path)
    assert_refused(
        process, "models:/synesthesia@champion cannot be loaded from sqlite:///mlflow.db"
    )
    assert "Make one first: make run" in process.stderr


def test_without_settings_the_model_must_be_named(tmp_path):
    process = run_python(*PREDICT, "--text", "hello?", cwd=tmp_path)
    assert_refused(process, "params.yaml is missing")
    assert "--model" in process.stderr


def test_answers_of_a_table_need_a_place(tmp_path):
    process = run_python(*PREDICT, "--table", "questions.parquet", cwd=tmp_path)
    assert_refused(process, "--table and --answers belong together")


def test_metrics_of_every_task_are_printed_in_columns():
    by_task = {"size": {"image": 12.34567, "image+text": 0.5}, "age": {"image": 3.0}}
    printed = [line.split() for line in columns("mean_absolute_error", by_task)]
    assert printed == [
        [],
        ["mean", "absolute", "error", "on", "the", "test", "split"],
        ["size", "age"],
        ["image", "12.35", "3"],
        ["image+text", "0.5", "–"],
    ]
    assert columns("accuracy", {"a": {"image": 0.5}})[3].split() == ["image", "50.00%"]
