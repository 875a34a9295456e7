"""The registered model answers: a question, a table, and questions to its server."""

import base64
import json
import socket

import pandas as pd
import pytest
import requests
from components.modalities.registry import MODALITIES
from pyarrow import parquet

from components.data.shards import media_of
from components.data.tables import SAMPLES, read_table
from components.model.predictor import Predictor
from tests.clone import Clone, kill_group, wait_until
from tests.shrunk import small_params

ASK = "components.serving.predict"


@pytest.fixture(scope="session")
def asked(done, tmp_path_factory) -> pd.DataFrame:
    """Samples of the test split as raw media."""
    samples = read_table(done.path / "data/samples.parquet", SAMPLES)
    rows = samples[samples["split"] == "test"].head(6).reset_index(drop=True)
    table = pd.DataFrame({"id": rows["sample_id"]})
    for m in MODALITIES:
        wanted = set(rows[f"{m}_id"])
        contents = dict(media_of(done.path / f"data/media/{m}", wanted))
        table[m] = [contents[name] for name in rows[f"{m}_id"]]
    return table.assign(text=table["text"].str.decode("utf-8"))


def test_the_command_answers_what_is_given_to_it(done, asked, tmp_path):
    files = {}
    for m in ("image", "audio"):
        files[m] = tmp_path / m
        files[m].write_bytes(asked[m][0])
    image = ("--image", str(files["image"]))
    tasks = list(small_params()["tasks"])
    for more in (("--text", "what color is it?"), ("--audio", str(files["audio"]))):
        process = done.try_(ASK, *image, *more)
        assert [line.split()[0] for line in process.stdout.splitlines()] == tasks
        assert all(line.endswith("%") for line in process.stdout.splitlines())
        assert "no version of synesthesia is the champion yet" in process.stderr
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    message = "error: image that cannot be used: the image cannot be decoded"
    done.refused(message, ASK, "--image", str(broken))


def test_the_champion_answers_once_there_is_one(done, again):
    again.mlflow("client.set_registered_model_alias('synesthesia', 'champion', '1')")
    process = again.try_(ASK, "--text", "what color is it?")
    assert process.returncode == 0 and process.stderr == ""


def expected_of(clone: Clone, table: pd.DataFrame) -> list[dict]:
    """What the model itself answers; None where it has no answer."""
    answers = Predictor(clone.path / "models/synesthesia")(table)
    return answers.astype(object).where(answers.notna(), None).to_dict("records")


def assert_same(found: dict, expected: dict) -> None:
    """The same answers, confidences but for rounding: batches of other sizes round otherwise."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        rounded = pytest.approx(value, rel=1e-4) if isinstance(value, float) else value
        assert found[name] == rounded, name


def test_a_table_is_answered_row_by_row_whatever_is_wrong_with_some(done, asked, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media/sound.wav").write_bytes(asked["audio"][1])
    table = asked.assign(number=range(len(asked)))
    table["audio"] = [None, "media/sound.wav", None, "media/none.wav", None, None]
    table["text"] = [*table["text"][:2], None, *table["text"][3:]]
    table["image"] = [*table["image"][:4], b"no image", None]
    table.loc[5, "text"] = None
    table.to_parquet(tmp_path / "in.parquet")
    said = done.run(
        ASK, "--table", str(tmp_path / "in.parquet"), "--answers", str(tmp_path / "out.parquet")
    )
    assert "3 of 6 rows answered, 3 not: see the column error" in said

    found = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["id"], row["number"]) for row in found] == list(
        zip(asked["id"], range(6), strict=True)
    )
    media = table[list(MODALITIES)].head(3).astype(object)
    media.at[1, "audio"] = asked["audio"][1]
    for row, expected in zip(found, expected_of(done, media), strict=False):
        assert row.pop("error") is None
        assert_same({name: row[name] for name in expected}, expected)
    wrong = ("media/none.wav cannot be read: No such file", "the image cannot be decoded")
    for row, message in zip(found[3:], [*wrong, "has no image, no text and no audio"], strict=True):
        assert message in row.pop("error")
        assert set(list(row.values())[2:]) == {None}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"picture": [b""]}, "has the columns picture; give it one of image, text, audio"),
        ({"text": [1.5]}, "column text of"),
        ({"text": ["a"], "answer": ["b"]}, "columns that the answers have too: answer"),
    ],
)
def test_a_table_that_cannot_be_asked_is_refused(done, tmp_path, table, message):
    pd.DataFrame(table).to_parquet(tmp_path / "in.parquet")
    answers = tmp_path / "out.parquet"
    done.refused(message, ASK, "--table", str(tmp_path / "in.parquet"), "--answers", str(answers))
    assert not answers.exists()


@pytest.fixture(scope="session")
def server(done):
    """The address of `mlflow models serve` with the clone's model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    where = ("-m", "models:/synesthesia@challenger", "--env-manager", "local", "--port", port)
    process = done.start(
        "mlflow", "models", "serve", *where, MLFLOW_TRACKING_URI="sqlite:///mlflow.db"
    )
    try:
        wait_until(lambda: is_up(f"http://127.0.0.1:{port}/health"), process)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        kill_group(process)


def is_up(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


def test_a_server_answers_json_with_media_in_base64(done, asked, server):
    for subset in (["image"], ["text"], ["image", "text"], ["text", "audio"], list(MODALITIES)):
        media = asked[subset].head(2)
        encoded = media.map(lambda v: base64.b64encode(v).decode() if isinstance(v, bytes) else v)
        answer = requests.post(server, json={"dataframe_records": encoded.to_dict("records")})
        found = answer.json()["predictions"]
        for row, expected in zip(found, expected_of(done, media), strict=True):
            assert_same(row, expected)


def test_a_server_answers_parquet_whose_rows_have_different_subsets(done, asked, server):
    media = asked[list(MODALITIES)].head(3).astype(object)
    media.at[0, "image"] = media.at[1, "text"] = media.at[1, "audio"] = None
    kind = {"Content-Type": "application/vnd.apache.parquet"}
    answer = requests.post(server, data=media.to_parquet(), headers=kind)
    found = json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    for row, expected in zip(found["predictions"], expected_of(done, media), strict=True):
        assert_same(row, expected)


def test_a_server_says_what_is_wrong_with_a_question(server):
    answer = requests.post(server, json={"dataframe_records": [{"image": "bm8gaW1hZ2U="}]})
    assert answer.status_code == 400
    assert "the image cannot be decoded" in answer.json()["message"]
    assert "Traceback" not in answer.text
