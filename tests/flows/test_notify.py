"""Whoever params.yaml names is told about a run that failed."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.shrunk import change, shipped, write_params


@pytest.fixture
def mailbox():
    """A web server on loopback; `mailbox.letters` is what was posted to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.letters.append(json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.letters = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def block(prefect_api, mailbox):
    """The slug of a block that posts to the mailbox."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    CustomWebhookNotificationBlock(
        name="team",
        url=f"http://127.0.0.1:{mailbox.server_port}/",
        json_data={"subject": "{{subject}}", "body": "{{body}}"},
    ).save("team", overwrite=True)
    return "custom-webhook/team"


def operate(folder, **settings) -> None:
    """The shipped settings with others in the section operate, as params.yaml."""
    params = change(shipped(), {f"operate.{key}": value for key, value in settings.items()})
    write_params(folder / "params.yaml", params)


def test_a_pipeline_that_failed_is_reported(toy, block, mailbox):
    from flows.pipeline import pipeline

    with (toy.path / "params.yaml").open("a") as file:
        file.write(f"operate: {{notify: {block}}}\n")
    toy.hook("source", "exit 1")
    pipeline(targets=["source"], return_state=True)
    (letter,) = mailbox.letters
    assert letter["subject"] == "pipeline: Failed"
    assert "1 failed\nhttp" in letter["body"]


def test_a_run_that_did_well_is_not(toy, block, mailbox):
    from flows.pipeline import pipeline

    with (toy.path / "params.yaml").open("a") as file:
        file.write(f"operate: {{notify: {block}}}\n")
    pipeline(targets=["source"], return_state=True)
    assert mailbox.letters == []


def test_retraining_reports_its_pipeline_s_failure_once(tmp_path, monkeypatch, block, mailbox):
    from flows.retrain import retrain

    monkeypatch.chdir(tmp_path)  # no DVC project
    operate(tmp_path, notify=block)
    retrain(return_state=True)
    (letter,) = mailbox.letters
    assert letter["subject"] == "retrain: Invalid"


def test_what_is_wrong_with_params_yaml_is_reported_too(tmp_path, monkeypatch, block, mailbox):
    from flows.retrain import retrain

    monkeypatch.chdir(tmp_path)
    operate(tmp_path, notify=block, retries=-1)
    retrain(return_state=True)
    (letter,) = mailbox.letters
    assert "operate.retries: " in letter["body"]


@pytest.mark.parametrize("kind", ["no block", "no notification"])
def test_a_block_that_cannot_be_used_is_named(prefect_api, kind):
    from prefect.blocks.system import Secret

    from components.common.errors import InputError
    from flows.notify import load

    Secret(value="word").save("word", overwrite=True)
    slug, problem = {
        "no block": ("slack-webhook/nobody", "has no block 'slack-webhook/nobody'"),
        "no notification": ("secret/word", "the block 'secret/word' sends no notifications"),
    }[kind]
    with pytest.raises(InputError, match=problem):
        load(slug)
