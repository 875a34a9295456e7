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
    "other modality": ({"tabular": '{"age": 3}'}, "modality_unknown"),
}


@pytest.fixture
def post(served, monkeypatch):
    """Send rows to the server; return the response, of which nothing may come from this machine."""
    from mlflow.pyfunc import scoring_server

    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # which the server sets
    client = TestClient(scoring_server.init(served))

    def send(*rows: dict[str, Any]):
        response = client.post("/invocations", json={"dataframe_records": rows})
        for word in ("Traceback", "stack_trace", "site-packages", str(ROOT)):
            assert word not in response.text
        return response

    return send


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


def test_unexpected_fault_is_logged_and_not_shown(post, served, monkeypatch, caplog):
    def fail(table):
        raise ZeroDivisionError("at /home/me")

    monkeypatch.setattr(served.unwrap_python_model(), "predictor", fail)
    response = post({"text": "why?"})
    assert response.status_code == 500
    assert "the model does not predict" in response.json()["message"]
    assert "/home/me" not in response.text and "/home/me" in caplog.text
