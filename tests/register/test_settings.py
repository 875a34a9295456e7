"""Settings of registration."""

import pytest

from components.register.settings import RegisterStageSettings
from tests.support.params import settings_problems


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("alias", "1st", "string should match pattern '^[A-Za-z][A-Za-z0-9_-]*$', found '1st'"),
        ("alias", "a b", "string should match pattern '^[A-Za-z][A-Za-z0-9_-]*$', found 'a b'"),
        ("model", "a/b", "string should match pattern '^[A-Za-z0-9_-]+$', found 'a/b'"),
        ("experiment", "", "string should have at least 1 character, found ''"),
    ],
)
def test_odd_name_is_refused(key, value, expected):
    assert settings_problems(RegisterStageSettings, {f"register.{key}": value}) == [
        f"register.{key}: {expected}"
    ]
