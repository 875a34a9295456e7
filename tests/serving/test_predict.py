"""Predictions from the shell: mistakes, and how predictions are printed."""

import os
import sys

import pandas as pd
import pytest

from components.common.errors import InputError
from components.modalities.registry import MODALITIES
from components.registry.tracking import connect
from components.serving.predict import (
    RegisteredModelSettings,
    lines,
    main,
    parser,
    predict,
    read_row,
    run,
)
from components.stage.settings import load_settings
from flows.settings import FlowSettings
from tests.support.params import ROOT, shipped, write_params
from tests.support.process import assert_refused, run_python


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working directory, without a store of MLflow."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def refused(*words: str) -> str:
    """Return the message that refuses a command line."""
    with pytest.raises(InputError) as error:
        run(parser().parse_args(words))
    return str(error.value)


def test_nothing_to_predict_from():
    options = ", ".join(f"--{m}" for m in MODALITIES)
    assert refused() == f"nothing to predict from: give at least one of {options}"


def test_missing_file_is_named():
    assert refused("--image", "cat.png").startswith("--image: cat.png cannot be read: No such file")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", ".", "pipe"])
def test_file_that_may_never_end_is_refused(path):
    os.mkfifo("pipe")
    assert refused("--image", path) == f"--image: {path} cannot be read: not a regular file"


def test_table_needs_an_output():
    message = "--table and --output belong together: give both, or neither"
    assert refused("--table", "questions.parquet") == message
    assert refused("--output", "predictions.parquet") == message


def test_without_settings_the_model_must_be_named():
    message = refused("--text", "hello?")
    assert message.startswith(
        "params.yaml, which names the model, is missing. Name one with --model"
    )


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_without_a_model_it_says_how_to_make_one(folder, store, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # the store is in its default place
    params = write_params(folder / "params.yaml", shipped())
    words = ("--text", "hello?", "--params", str(params))
    process = run_python("-m", "components.serving.predict", *words, cwd=folder)
    assert_refused(
        process, "models:/synesthesia@champion cannot be loaded from sqlite:///mlflow.db"
    )
    assert "Make a model: make run. If that finds nothing to do, register" in process.stderr


@pytest.mark.parametrize(
    "name",
    ["params.yaml", "examples/digits.yaml", "examples/minilm.yaml", "examples/pretrained.yaml"],
)
def test_shipped_settings_name_the_model(name):
    """Those that they leave out have the defaults of the stage and the flows."""
    found, flows = (load_settings(ROOT / name, c) for c in (RegisteredModelSettings, FlowSettings))
    assert (found.register_.model, found.register_.alias, found.promote.alias) == (
        *(flows.register_.model, flows.register_.alias, flows.promote.alias),
    )


def test_row_has_texts_and_bytes(folder):
    (folder / "cat.png").write_bytes(b"png")
    row = read_row({"image": folder / "cat.png", "text": "hello?", "audio": None})
    assert row.to_dict("records") == [{"image": b"png", "text": "hello?"}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "text_empty"), (" \u200b", "text_empty"), ("caf\udce9", "text_not_utf8")],
)
def test_text_that_ingest_refuses_is_refused(served, text, reason):
    """The last as Python gives a command line in Latin-1."""
    with pytest.raises(InputError, match=rf"^text that cannot be used: .*\({reason}\)$"):
        predict(served, read_row({"text": text}))


def test_predictions_are_printed_one_per_line():
    row = pd.Series(
        {
            **{"answer": "yes", "answer_confidence": 0.5},
            **{"tags": ["cat", "dog"], "tags_confidence": [0.75, 0.625]},
            **{"none": [], "none_confidence": []},
            **{"size": 12.3456789, "reply": None, "reply_confidence": None},
        },
        dtype=object,
    )
    assert [line.split() for line in lines(row)] == [
        *(["answer", "yes", "50.00%"], ["tags", "cat", "75.00%"], ["tags", "dog", "62.50%"]),
        *(["none", "none"], ["size", "12.3457"]),
    ]


def test_silent_store_may_answer_later(monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    words = ["--text", "hm?", "--model", "models:/synesthesia/1"]
    monkeypatch.setattr(sys, "argv", ["predict", *words])
    with pytest.raises(SystemExit) as end:
        main()
    connect().set_tracking_uri(None)
    assert end.value.code == os.EX_TEMPFAIL
    error = capsys.readouterr().err
    assert error.startswith("error: MLflow's store http://127.0.0.1:9 does not answer")
