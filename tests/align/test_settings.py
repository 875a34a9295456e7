"""Settings of the alignment."""

import pytest

from components.align.settings import AlignStageSettings
from tests.support.params import settings_problems


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        (
            "loss",
            "infoNCE",
            "found 'infoNCE'. Did you mean 'infonce'? Valid here: infonce, sigmoid",
        ),
        ("loss", "clip", "found 'clip'. Valid here: infonce, sigmoid"),
        ("embed_dim", 4, "input should be greater than or equal to 8, found 4"),
        ("batch_size", 1, "input should be greater than or equal to 2, found 1"),
        ("weight_decay", 2.0, "input should be less than or equal to 1, found 2.0"),
    ],
)
def test_wrong_value_is_named_with_its_key(key, value, expected):
    assert settings_problems(AlignStageSettings, {f"align.{key}": value}) == [
        f"align.{key}: {expected}"
    ]
