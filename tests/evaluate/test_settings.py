"""Settings of evaluation: prompts for zero-shot classification."""

import pytest

from components.evaluate.settings import EvaluateStageSettings
from tests.support.params import settings_problems, shipped

PROMPTS = shipped()["evaluate"]["prompts"]
SHAPE = PROMPTS["shape"]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"templates": []}, ".templates: tuple should have at least 1 item after validation"),
        ({"templates": ["a shape"]}, ".templates.0: found 'a shape', expected a text with one {}"),
        ({"templates": ["a {}", "{} or {}"]}, ".templates.1: found '{} or {}', expected a text"),
        ({"templates": "a {}"}, ".templates: input should be a valid tuple, found 'a {}'"),
        ({"template": ["a {}"]}, ".template: unknown key. Did you mean 'templates'? Valid here: "),
        ({"words": {"circle": ""}}, ".words.circle: string should have at least 1 character"),
        ({"words": {3: "three"}}, ".words.3: input should be a valid string, found 3"),
    ],
    ids=str,
)
def test_wrong_prompt_is_named_with_its_key(shape, expected):
    (line,) = settings_problems(EvaluateStageSettings, {"evaluate.prompts.shape": SHAPE | shape})
    assert line.startswith(f"evaluate.prompts.shape{expected}")


def test_prompts_are_a_mapping():
    lines = settings_problems(EvaluateStageSettings, {"evaluate.prompts.shape": "a {}"})
    assert lines == ["evaluate.prompts.shape: found 'a {}', expected a mapping"]


def test_prompts_of_unknown_tasks_are_named():
    prompts = PROMPTS | {"shpae": SHAPE, "size": SHAPE}
    (line,) = settings_problems(EvaluateStageSettings, {"evaluate.prompts": prompts})
    assert line == (
        "evaluate.prompts: not tasks of kind classification: 'shpae', 'size'. Did you mean "
        "'shape'? Valid here: answer, shape, colour, question_type"
    )


@pytest.mark.parametrize(
    "kind", [{"kind": "multilabel"}, {"kind": "retrieval", "query": "text", "target": "image"}]
)
def test_prompts_of_other_kinds_are_refused(kind):
    changes = {"tasks.shape": {"column": "shape"} | kind}
    (line,) = settings_problems(EvaluateStageSettings, changes)
    assert line == (
        "evaluate.prompts: not tasks of kind classification: 'shape'. Valid here: answer, colour, "
        "question_type"
    )


def test_prompts_may_be_left_out():
    assert settings_problems(EvaluateStageSettings, {"evaluate": {}}) == []
