"""Messages of errors."""

import pytest

from components.common.errors import did_you_mean, nearest

NAMES = ("resnet18", "resnet34", "resnet50", "vit")


@pytest.mark.parametrize(
    ("word", "most", "expected"),
    [
        ("resnet19", 1, "Did you mean 'resnet18'? "),
        ("resnet19", 2, "Did you mean 'resnet18' or 'resnet50'? "),
        ("audio", 3, ""),
    ],
)
def test_similar_names_are_proposed(word, most, expected):
    assert did_you_mean(word, NAMES, most) == expected


def test_valid_names_follow_the_proposal():
    assert nearest("vot", ["vit", "cnn"]) == "Did you mean 'vit'? Valid here: vit, cnn"
    assert nearest("vot", []) == "Valid here: none"
