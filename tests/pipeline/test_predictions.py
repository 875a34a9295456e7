"""The registered model predicts: from the command line, for a table, and as a server."""

import base64
import json
import socket

import pandas as pd
import pytest
import requests
from pyarrow import parquet

from components.data.samples import asset_column, read_samples
from components.data.shards import read_assets
from components.modalities.registry import MODALITIES
from components.model.predictor import Predictor
from tests.support.clone import Clone, kill_group, wait_until
from tests.support.params import small_params
from tests.support.tiny_model import PRESENT

PREDICT = "components.serving.predict"


@pytest.fixture(scope="session")
def rows(done, tmp_path_factory) -> pd.DataFrame:
    """Samples of the test split as raw media."""
    samples = read_samples(done.path / "data/samples.parquet", MODALITIES)
    test = samples[samples["split"] == "test"].head(6).reset_index(drop=True)
    table = pd.DataFrame({"id": test["sample_id"]})
    for m in PRESENT:
        ids = test[asset_column(m)]
        contents = dict(read_assets(done.path / f"data/media/{m}", set(ids)))
        table[m] = [contents[name] for name in ids]
    return table.assign(text=table["text"].str.decode("utf-8"))


def test_command_predicts_from_any_modalities(again, rows, tmp_path):
    for m, content in (*rows.iloc[0][["image", "audio"]].items(), ("broken", b"not an image")):
        (tmp_path / m).write_bytes(content)
    image, text = ["--image", str(tmp_path / "image")], ["--text", "what color is it?"]
    lines = ([*image, *text], [*image, "--audio", str(tmp_path / "audio")])
    for line in lines:
        process = again.try_(PREDICT, *line)
        printed = process.stdout.splitlines()
        assert [line.split()[0] for line in printed] == list(small_params()["tasks"])
        assert all(line.endswith("%") for line in printed)
        assert "no version of synesthesia has the alias champion yet" in process.stderr
    message = "error: image that cannot be used: the image cannot be decoded"
    again.refused(message, PREDICT, "--image", str(tmp_path / "broken"))
    message = "error: text that cannot be used: the text is empty (text_empty)"
    again.refused(message, PREDICT, *image, "--text", "")

    again.mlflow("client.set_registered_model_alias('synesthesia', 'champion', '1')")
    process = again.try_(PREDICT, *text)
    assert process.returncode == 0 and process.stderr == ""


def expected_of(clone: Clone, table: pd.DataFrame) -> list[dict]:
    """Return what the model itself predicts; None where it has no prediction."""
    found = Predictor(clone.path / "models/synesthesia")(table)
    return found.astype(object).where(found.notna(), None).to_dict("records")


def assert_same(found: dict, expected: dict) -> None:
    """Assert equal predictions, with a tolerance: batches of other sizes round differently."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        rounded = pytest.approx(value, rel=1e-4) if isinstance(value, float) else value
        assert found[name] == rounded, name


def test_unusable_rows_of_table_have_reasons(done, rows, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media/sound.wav").write_bytes(rows["audio"][1])
    table = rows.assign(number=range(len(rows)))
    table["audio"] = [None, "media/sound.wav", None, "media/none.wav", None, None]
    table["text"] = [*table["text"][:2], None, *table["text"][3:]]
    table["image"] = [*table["image"][:4], b"not an image", None]
    table.loc[5, "text"] = None
    table.to_parquet(tmp_path / "in.parquet")
    printed = done.run(
        PREDICT, "--table", str(tmp_path / "in.parquet"), "--output", str(tmp_path / "out.parquet")
    )
    assert "3 of 6 rows predicted: " in printed
    assert "; 3 rows could not be used, see the column error" in printed

    found = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["id"], row["number"]) for row in found] == list(
        zip(rows["id"], range(6), strict=True)
    )
    media = table[list(PRESENT)].head(3).astype(object)
    media.at[1, "audio"] = rows["audio"][1]
    for row, expected in zip(found, expected_of(done, media), strict=False):
        assert row.pop("error") is None
        assert_same({name: row[name] for name in expected}, expected)
    wrong = ("media/none.wav cannot be read: No such file", "the image cannot be decoded")
    for row, message in zip(found[3:], [*wrong, "has none of image, text, audio"], strict=True):
        assert message in row.pop("error")
        assert set(list(row.values())[2:]) == {None}


UNUSABLE = {  # message → table
    "has the columns picture; give it at least one of image, text, audio": {"picture": [b""]},
    "column text of": {"text": [1.5]},
    "columns that predictions have too: answer": {"text": ["a"], "answer": ["b"]},
}


def test_unusable_table_is_refused(done, tmp_path):
    path, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    for message, table in UNUSABLE.items():
        pd.DataFrame(table).to_parquet(path)
        done.refused(message, PREDICT, "--table", str(path), "--output", str(output))
    assert not output.exists()


@pytest.fixture(scope="session")
def server(done):
    """The address of `mlflow models serve` with the model of the clone."""
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


def test_server_predicts_from_json(done, rows, server):
    for subset in (["image"], ["text"], ["image", "text"], ["text", "audio"], list(PRESENT)):
        media = rows[subset].head(2)
        encoded = media.map(lambda v: base64.b64encode(v).decode() if isinstance(v, bytes) else v)
        answer = requests.post(server, json={"dataframe_records": encoded.to_dict("records")})
        found = answer.json()["predictions"]
        for row, expected in zip(found, expected_of(done, media), strict=True):
            assert_same(row, expected)


def test_server_predicts_from_parquet(done, rows, server):
    media = rows[list(PRESENT)].head(3).astype(object)
    media.at[0, "image"] = media.at[1, "text"] = media.at[1, "audio"] = None
    kind = {"Content-Type": "application/vnd.apache.parquet"}
    answer = requests.post(server, data=media.to_parquet(), headers=kind)
    found = json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    for row, expected in zip(found["predictions"], expected_of(done, media), strict=True):
        assert_same(row, expected)


@pytest.mark.parametrize(
    ("row", "reason"),
    [({"image": "bm8gaW1hZ2U="}, "image_undecodable"), ({"text": " "}, "text_empty")],
)
def test_server_says_what_is_wrong(done, server, row, reason):
    answer = requests.post(server, json={"dataframe_records": [row]})
    assert answer.status_code == 400 and answer.json()["reason"] == reason
    assert "Traceback" not in answer.text and str(done.path) not in answer.text
