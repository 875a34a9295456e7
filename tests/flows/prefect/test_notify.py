"""The block that params.yaml names is told of runs that failed."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.support.params import change, shipped, write_params


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
def block(prefect_api, mailbox) -> str:
    """The slug of a block that posts to the mailbox."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    CustomWebhookNotificationBlock(
        name="team",
        url=f"http://127.0.0.1:{mailbox.server_port}/",
        json_data={"subject": "{{subject}}", "body": "{{body}}"},
    ).save("team", overwrite=True)
    return "custom-webhook/team"


@pytest.fixture
def retrain_outside_of_project(tmp_path, monkeypatch):
    """Run retraining in a folder that has params.yaml only, with changes to `operate`."""
    from flows.retrain import retrain

    def run(**operate) -> None:
        monkeypatch.chdir(tmp_path)
        params = change(shipped(), {f"operate.{key}": value for key, value in operate.items()})
        write_params(tmp_path / "params.yaml", params)
        retrain(return_state=True)

    return run


def test_failed_pipeline_is_reported_and_completed_one_is_not(toy, run, block, mailbox):
    with (toy.path / "params.yaml").open("a") as file:
        file.write(f"operate: {{notify: {block}}}\n")
    run(targets=["source"])
    assert mailbox.letters == []
    toy.hook("source", "exit 1")
    run(targets=["source"], force=True)
    (letter,) = mailbox.letters
    assert letter["subject"] == "pipeline: Failed"
    assert "1 failed\nhttp" in letter["body"]


def test_failed_retraining_is_reported_once(retrain_outside_of_project, block, mailbox):
    retrain_outside_of_project(notify=block)
    (letter,) = mailbox.letters
    assert letter["subject"] == "retrain: Invalid"


def test_invalid_params_are_reported(retrain_outside_of_project, block, mailbox):
    retrain_outside_of_project(notify=block, retries=-1)
    (letter,) = mailbox.letters
    assert "operate.retries: " in letter["body"]


@pytest.mark.parametrize(
    ("slug", "problem"),
    [
        ("slack-webhook/nobody", "has no block 'slack-webhook/nobody'"),
        ("secret/word", "the block 'secret/word' is not a notification block"),
    ],
)
def test_unusable_block_is_named(prefect_api, slug, problem):
    from prefect.blocks.system import Secret

    from components.common.errors import InputError
    from flows.prefect.notify import load

    Secret(value="word").save("word", overwrite=True)
    with pytest.raises(InputError, match=problem):
        load(slug)
