"""Names of metrics and parameters that MLflow accepts."""

import json

import pytest
from mlflow.utils.validation import _validate_metric_name, _validate_param_name

from components.common.nested import flatten
from components.registry.tracking import metric_name
from tests.support.params import change, shipped


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
def test_metric_names_are_readable(parts, name):
    assert metric_name(*parts) == name


@pytest.mark.parametrize(
    "value", ["yes/no", "???", "", ".", "..", "a//b", "naïve", "东京", "50 %", "a\nb", "x" * 40]
)
def test_any_label_or_slice_has_a_valid_name(value):
    _validate_metric_name(metric_name("slices", "answer", "accent", value, "image"))
    _validate_metric_name(metric_name("accuracy", value))


def test_parameters_are_flat_with_valid_names():
    voices = {"train": ["en/150/35"], "validation": ["en/160/35"], "test": ["en/170/35"]}
    params = change(shipped(), {"ingest.source": {"kind": "demo", "voices": voices}})
    flat = dict(flatten(params))
    assert flat["preprocess.audio.hop_length"] == 512
    assert json.loads(flat["ingest.source.voices.train"]) == ["en/150/35"]
    for name, value in flat.items():
        _validate_param_name(metric_name(*name.split("/")))
        assert len(str(value)) <= 6000
