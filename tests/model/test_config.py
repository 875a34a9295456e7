"""The configuration of a model: JSON that rebuilds it, and which tasks modalities decide."""

import json

import pytest
import torch

from components.model.config import ModelConfig
from tests.support.tiny_model import EVERY_TASK, EVERY_VOCABULARY, make_model, make_tasks

PRESENCE = torch.tensor([[True, True, True], [True, False, False], [False, True, True]])


@pytest.mark.parametrize("modalities", [("image", "text", "audio"), ("text",), ("image", "audio")])
def test_config_comes_back_from_json(modalities):
    config = make_model(every=True, modalities=modalities).config
    content = json.loads(json.dumps(config.model_dump(mode="json")))
    read = ModelConfig.model_validate(content, strict=False)
    assert read == config
    assert read.modalities == modalities
    assert set(read.inputs) == set(read.encoders) == set(modalities)
    assert read.tasks_with_labels() == make_tasks(EVERY_TASK, EVERY_VOCABULARY)


def test_sufficient_modalities_make_a_task_answerable():
    config = make_model().config
    assert config.answerable("answer", PRESENCE).tolist() == [True, True, True]
    assert config.answerable("shape", PRESENCE).tolist() == [True, True, False]  # image
    assert config.answerable("question_type", PRESENCE).tolist() == [True, False, True]


def test_only_sufficient_modalities_vote_if_any_is_present():
    config = make_model().config
    assert config.voters("answer", PRESENCE).equal(PRESENCE)
    assert config.voters("shape", PRESENCE).tolist() == [
        [True, False, False],
        [True, False, False],
        [False, True, True],  # none of them can decide it
    ]
