"""The pyfunc behind MLflow's scoring server: what it answers to rows that cannot be used."""

import base64
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.support.params import ROOT

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "empty": ({"text": ""}, "text_empty"),
    "blank": ({"text": " \t\n"}, "text_empty"),
    "invisible": ({"text": "\u200b\u2060"}, "text_empty"),
    "long": ({"text": "a" * 20_001}, "text_too_long"),
    "number": ({"text": 3}, "row_malformed"),
    "list": ({"text": ["why?"]}, "row_malformed"),
    "object": ({"text": {"question": "why?"}}, "row_malformed"),
    "no image": ({"image": base64.b64encode(b"<html>").decode()}, "image_undecodable"),
    "no sound": ({"audio": ""}, "audio_empty"),
    "nothing": ({"text": None}, "row_empty"),
    "no column": ({}, "row_empty"),
    "other column": ({"Text": "why?"}, "row_empty"),
    "other modality": ({"tabular": '{"age": 3}'}, "modality_unknown"),
}


@pytest.fixture
def send(served, monkeypatch):
    """Send a body to the server; return the answer, of which nothing may come from this machine."""
    from mlflow.pyfunc import scoring_server

    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # which the server sets
    client = TestClient(scoring_server.init(served))

    def send(**body: Any):
        response = client.post("/invocations", **body)
        for word in ("Traceback", "stack_trace", "site-packages", str(ROOT)):
            assert word not in response.text
        return response

    return send


@pytest.fixture
def post(send):
    """Send rows."""
    return lambda *rows: send(json={"dataframe_records": rows})


def test_good_row_is_predicted(post):
    response = post({"text": "what color is it?"})
    assert response.status_code == 200 and response.json()["predictions"][0]["answer"]


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_row_has_the_reason_of_ingest(post, case):
    row, reason = REFUSED[case]
    response = post(row)
    body = response.json()
    assert response.status_code == 400
    assert body["reason"] == reason and f"({reason})" in body["message"]


@pytest.mark.parametrize(
    "body",
    [
        *({"dataframe_records": rows} for rows in ([], [3], [None], [["why?"]])),
        *({"inputs": found} for found in ("why?", [1, 2])),
        {"dataframe_split": {"columns": [1], "data": [["why?"]]}},
        {"instances": ["why?"]},
    ],
    ids=str,
)
def test_body_without_rows_of_media_has_a_reason(send, body):
    response = send(json=body)
    assert response.status_code == 400 and response.json()["reason"] == "row_empty"


@pytest.mark.parametrize("content", ["", 'text\n"why', 'text\nwhy?,\x00"', "\ufeff"], ids=ascii)
@pytest.mark.parametrize("kind", ["text/csv", "application/json"])
def test_body_that_cannot_be_parsed_is_refused(send, kind, content):
    assert send(content=content.encode(), headers={"content-type": kind}).status_code == 400


def test_unexpected_fault_is_logged_and_not_shown(post, served, monkeypatch, caplog):
    def fail(table):
        raise ZeroDivisionError("at /home/me")

    monkeypatch.setattr(served.unwrap_python_model(), "predictor", fail)
    response = post({"text": "why?"})
    assert response.status_code == 500
    assert "the model does not predict" in response.json()["message"]
    assert "/home/me" not in response.text and "/home/me" in caplog.text
