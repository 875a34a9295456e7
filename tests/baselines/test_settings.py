"""What the baselines read of params.yaml."""

from components.baselines.settings import stage_settings
from components.stage.settings import keys_of
from tests.support.params import settings_problems, small_settings


def test_baselines_read_what_plain_features_need():
    found = list(keys_of(stage_settings()))
    assert found == ["workers", "tasks", "preprocess.image.fit", "evaluate.baselines"]


def test_settings_of_plain_features_are_checked():
    settings = small_settings(stage_settings(), {"preprocess.image.fit": "pad"})
    assert settings.preprocess.image.fit == "pad"
    (line,) = settings_problems(stage_settings(), {"preprocess.image.fit": "stretch"})
    assert line.startswith("preprocess.image.fit: found 'stretch'")
