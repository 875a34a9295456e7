"""Names of metrics, parameters and tags that MLflow accepts."""

import json

import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.validation import (
    _validate_metric_name,
    _validate_param_name,
    _validate_tag_name,
)

from components.common.nested import flatten
from components.registry.names import MAX_LENGTH, mlflow_name
from tests.support.params import change, shipped

LONG = "x" * 300
PARTS = (
    *(
        "C",
        "C#",
        "C+",
        "C:23:",
        "C:23",
        "c",
        "C ",
        " C",
        "C\n",
        "C\t",
        "C.",
        "C-",
        "C_",
        "12:30:00",
    ),
    *(
        "",
        ".",
        "..",
        "...",
        ":",
        "::",
        ":2e:",
        "a/b",
        "a//b",
        "/",
        "yes/no",
        "???",
        "50 %",
        "→",
        "–",
    ),
    *("naïve", "nai\u0308ve", "东京", "हिन्दी", "🙂", "\ud800", "\0", "'", '"', "`", "%", "=", "$"),
    *(LONG, LONG + "x", LONG + "#", "#" + LONG, "#" * 300, "x" * 249, "x" * 250, "x" * 251),
)
FIGURES = [
    *((part,) for part in PARTS),
    *(("slices", "answer", "accent", part, "image") for part in PARTS),
    *(("accuracy", part, "image") for part in PARTS),
    *(("a", part) for part in PARTS),
    *(("slices", LONG, LONG, part, LONG) for part in PARTS),
]


@pytest.mark.parametrize(
    "parts",
    [
        ("accuracy", "answer", "image-text"),
        ("recall_at_1", "text-to-audio"),
        ("slices", "answer", "accent", "en-gb-x-rp", "image"),
        ("slices", "answer", "hour", "12:30", "image"),
        ("x" * 125, "y" * 124),
    ],
)
def test_allowed_names_stay_as_they_are(parts):
    assert mlflow_name(*parts) == "/".join(parts)


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("slices", "answer", "language", "C#", "image"), "slices/answer/language/C:23:/image"),
        (("answer", "yes/no"), "answer/yes:2f:no"),
        (("answer", ""), "answer/::"),
    ],
)
def test_other_characters_become_numbers(parts, name):
    assert mlflow_name(*parts) == name


def test_long_name_keeps_its_short_parts():
    name = mlflow_name("slices", "answer", "accent", LONG, "image")
    assert name.startswith("slices/answer/accent/xxx") and name.endswith(":/image")


@pytest.mark.parametrize("parts", FIGURES, ids=lambda parts: ascii(parts)[:40])
def test_any_name_is_accepted(parts):
    name = mlflow_name(*parts)
    for validate in (_validate_metric_name, _validate_param_name, _validate_tag_name):
        validate(name)
    assert len(name) <= MAX_LENGTH


def test_different_names_stay_different():
    assert len({mlflow_name(*parts) for parts in FIGURES}) == len(set(FIGURES)) == len(FIGURES)


def test_short_texts_stay_different():
    """Every text of up to four characters of an alphabet of which escapes are made."""
    texts = [""]
    for _ in range(4):
        texts += [text + c for text in texts for c in "02a:#."]
    texts = list(dict.fromkeys(texts))
    assert len({mlflow_name("a", text) for text in texts}) == len(texts)


def test_mlflow_keeps_all_apart(store):
    """In its database, as metrics, parameters and tags."""
    from components.registry.tracking import connect

    client = connect().MlflowClient()
    run = client.create_run(client.create_experiment(f"names-{store.unique}")).info.run_id
    names = [mlflow_name(*parts) for parts in FIGURES]
    client.log_batch(
        run,
        metrics=[Metric(name, number, 0, 0) for number, name in enumerate(names)],
        params=[Param(name, str(number)) for number, name in enumerate(names)],
        tags=[RunTag(name, str(number)) for number, name in enumerate(names)],
    )
    data = client.get_run(run).data
    assert data.metrics == {name: number for number, name in enumerate(names)}
    expected = {name: str(number) for number, name in enumerate(names)}
    assert data.params == expected
    assert expected.items() <= data.tags.items()


def test_parameters_are_flat_with_valid_names():
    voices = {"train": ["en/150/35"], "validation": ["en/160/35"], "test": ["en/170/35"]}
    params = change(shipped(), {"ingest.source": {"kind": "demo", "voices": voices}})
    flat = dict(flatten(params))
    assert flat["preprocess.audio.hop_length"] == 512
    assert json.loads(flat["ingest.source.voices.train"]) == ["en/150/35"]
    names = {name: mlflow_name(*name.split("/")) for name in flat}
    assert [name for name, spelt in names.items() if name != spelt] == []
    assert all(len(str(value)) <= 6000 for value in flat.values())
