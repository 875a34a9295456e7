"""The data report says which settings suit the data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.common.files import read_json
from components.data import tables
from components.ingest import hints
from components.ingest.hints import imbalances, lengths, suggestions
from components.ingest.ledger import Ledger
from components.tasks.classification.settings import ClassificationSettings
from tests.ingest.stage_rows import TASK, row
from tests.support.media import wav

TEXTS = [b"short", b"a longer text", b"the longest text of them all"]


def test_length_counts_the_labels_that_it_keeps_whole(ingest):
    """The short text has eight labels, each of the others one."""
    rows = [row(str(n), answer=str(n % 2), text=TEXTS[0]) for n in range(8)]
    rows += [row("8", answer="0", text=TEXTS[1]), row("9", answer="1", text=TEXTS[2])]
    rows += [row(f"unlabelled {n}", answer=None, text=TEXTS[2]) for n in range(9)]
    assert ingest(rows, page=True) == 0
    short, longer, longest = map(len, TEXTS)
    expected = {"half": short, "nine_tenths": longer, "nearly_all": longest, "all": longest}
    assert read_json(Path("report.json"))["lengths"]["text"] == expected
    page = Path("page.html").read_text()
    assert "<code>preprocess.text.max_tokens</code>" in page
    assert "<code>preprocess.audio.max_seconds</code>" in page


@pytest.mark.parametrize("most", [1, 8192])
def test_labels_of_every_task_and_batch_count(tmp_path, monkeypatch, most):
    """The column of a task may be that of the texts themselves."""
    monkeypatch.setattr(tables, "BATCH_ROWS", 2)
    monkeypatch.setattr(hints, "MAX_COUNTED", most)
    ids, none = ["short", "long", "short"], [None] * 3
    columns = {"text_id": ids, "audio_id": none, "a": ["x", None, "x"], "b": ["y", None, None]}
    pd.DataFrame(columns).to_parquet(tmp_path / "samples")
    tasks = {name: ClassificationSettings(column=name) for name in ("a", "b", "text_id")}
    with Ledger(tmp_path / "ledger") as ledger:
        for asset, length in {"short": 5.0, "long": 13.0, "unlabelled": 99.0, "?": None}.items():
            ledger.add_asset("text", asset, length=length)
        found = lengths(tmp_path / "samples", ledger, tasks)
        assert list(ledger.labels_by_length("text")) == [(5.0, 5), (13.0, 1)]
    assert found == {"text": {"half": 5.0, "nine_tenths": 13.0, "nearly_all": 13.0, "all": 13.0}}


def test_rate_of_most_sounds_is_suggested(ingest):
    """A higher one leaves mel bands empty."""
    rows = [row(str(n), answer=str(n % 2), audio=wav(n, rate=8000)) for n in range(4)]
    assert ingest(rows, page=True) == 0
    found = {each["setting"]: each for each in suggestions(Path("assets.parquet"))}
    assert found["preprocess.audio.sample_rate"]["value"] == 8000
    assert "mel bands are empty" in found["preprocess.audio.sample_rate"]["why"]
    assert found["preprocess.audio.max_seconds"]["value"] == 0.5
    assert found["preprocess.image.size"]["value"] == 32
    page = Path("page.html").read_text()
    for setting, each in found.items():
        assert f"<code>{setting}</code></td><td>{each['value']}</td>" in page
        assert each["why"]


@pytest.mark.parametrize(
    ("seconds", "rate", "hop"), [(0.5, 8000, 128), (2.0, 16_000, 256), (2.1, 16_000, None)]
)
def test_short_sounds_have_more_frames(ingest, seconds, rate, hop):
    noise = np.random.default_rng(0).uniform(-1, 1, (4, int(rate * seconds)))
    rows = [row(str(n), answer=str(n % 2), audio=wav(noise[n], rate)) for n in range(4)]
    assert ingest(rows, page=True) == 0
    found = {each["setting"]: each["value"] for each in suggestions(Path("assets.parquet"))}
    assert found.get("preprocess.audio.hop_length") == hop


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"cat": 90, "dog": 10}, []),
        ({"cat": 95, "dog": 5}, [("cat", 0.95, "dog", 5)]),
        ({"cat": 9}, []),
        ({}, []),
    ],
)
def test_rare_class_is_named_with_the_most_frequent(counts, found):
    rows = imbalances({"pet": counts}, {"pet": ClassificationSettings(column="pet")})
    assert [(r["commonest"], r["part"], r["rarest"], r["count"]) for r in rows] == found


@pytest.mark.parametrize("kind", ["classification", "multilabel", "vqa"])
def test_rare_class_has_a_setting_where_classes_can_be_balanced(ingest, kind):
    labels = ["yes"] * 30 + ["no"] * 2
    rows = [row(f"{n:02d}", answer=[label] * 3) for n, label in enumerate(labels)]
    if kind == "classification":
        rows = [row(f"{n:02d}", answer=label) for n, label in enumerate(labels)]
    assert ingest(rows, {"answer": TASK | {"kind": kind}}, page=True) == 0
    page = Path("page.html").read_text()
    assert "no occurs" in page
    assert ("<code>tasks.answer.balance: weights</code>" in page) == (kind != "vqa")
