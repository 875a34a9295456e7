"""Settings of tasks: options of each kind, names, columns."""

import pytest

from components.modalities.registry import encoder_losses
from components.stage.settings import Settings
from components.tasks.registry import KINDS, Tasks, settings_of, with_heads
from tests.support.params import settings_problems, shipped


class TaskSections(Settings):
    """What every stage that knows tasks reads."""

    tasks: Tasks


SHAPE = shipped()["tasks"]["shape"]
NO_CLASSES = {key: value for key, value in SHAPE.items() if key != "balance"}
FIND = {"kind": "retrieval", "column": "shape", "query": "text", "target": "image"}
WRITE = {"kind": "generation", "column": "text", "vocab_size": 300, "max_tokens": 16}


def load(tasks: dict) -> dict:
    return TaskSections.model_validate({"tasks": tasks}).tasks


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (SHAPE | {"kind": "multilable"}, ": found 'multilable'. Did you mean 'multilabel'? Valid"),
        (SHAPE | {"wieght": 1.0}, ".wieght: unknown key. Did you mean 'weight'? Valid here: kind"),
        (SHAPE | {"weight": 0}, ".weight: input should be greater than 0, found 0"),
        (SHAPE | {"goal": 0.0}, ": kind is classification, goal is 0.0; expected another value"),
        (SHAPE | {"goal": 1.5}, ".goal: input should be less than or equal to 1, found 1.5"),
        (
            NO_CLASSES | {"kind": "regression", "goal": 1.0},
            ": kind is regression, goal is 1.0; expect",
        ),
        (FIND | {"goal": 0.5}, ".goal: unknown key. Valid here: kind, column, weight, query, targ"),
        (
            SHAPE | {"sufficient_modalities": ["picture"]},
            ".sufficient_modalities.0: found 'picture'. Valid here: image, text, audio",
        ),
        (
            SHAPE | {"sufficient_modalities": None},
            ".sufficient_modalities: input should be a valid tuple, found None",
        ),
        (SHAPE | {"answers": 9}, ".answers: unknown key. Valid here: kind, column, weight, suffic"),
        (
            NO_CLASSES | {"kind": "vqa", "answers": 1},
            ".answers: input should be greater than or eq",
        ),
        (
            NO_CLASSES | {"kind": "vqa", "answers": None},
            ".answers: input should be a valid integer",
        ),
        (SHAPE | {"query": "text"}, ".query: unknown key. Valid here: kind, column, weight, suffi"),
        (SHAPE | {"decoding": "greedy"}, ".decoding: unknown key. Valid here: kind, column, weigh"),
        (FIND | {"query": "image"}, ": query and target are both image; expected two modalities"),
        (FIND | {"target": None}, ".target: input should be a valid string, found None"),
        (FIND | {"target": "picture"}, ".target: found 'picture'. Valid here: image, text, audio"),
        (FIND | {"sufficient_modalities": []}, ".sufficient_modalities: unknown key. Valid here"),
        (FIND | {"answers": 9}, ".answers: unknown key. Valid here: kind, column, weight, query"),
        (WRITE | {"max_tokens": None}, ".max_tokens: input should be a valid integer, found None"),
        (WRITE | {"max_tokens": 0}, ".max_tokens: input should be greater than or equal to 1, fo"),
        (WRITE | {"vocab_size": 256}, ".vocab_size: input should be greater than or equal to 257"),
        (WRITE | {"max_token": 9}, ".max_token: unknown key. Did you mean 'max_tokens'? Valid"),
        (WRITE | {"answers": 9}, ".answers: unknown key. Valid here: kind, column, weight, suffic"),
        (WRITE | {"decoding": "beem/4"}, ".decoding: found 'beem/4', expected greedy, beam/WIDTH"),
        (WRITE | {"decoding": "beam"}, ".decoding: found 'beam', expected greedy, beam/WIDTH"),
        (WRITE | {"decoding": "beam/65"}, ".decoding: found 'beam/65', expected greedy"),
        (WRITE | {"decoding": "nucleus/1.1"}, ".decoding: found 'nucleus/1.1', expected greedy"),
        (7, ": found 7, expected classification, multilabel, regression, vqa, generation, retriev"),
        ({}, ".column: the key is missing"),
    ],
    ids=str,
)
def test_wrong_option_is_named_with_its_key(task, expected):
    (line,) = settings_problems(TaskSections, {"tasks.shape": task})
    assert line.startswith(f"tasks.shape{expected}")


def test_retrieval_needs_query_and_target():
    lines = settings_problems(TaskSections, {"tasks.shape": {"kind": "retrieval", "column": "a"}})
    assert lines == [f"tasks.shape.{key}: the key is missing" for key in ("query", "target")]


@pytest.mark.parametrize("kind", KINDS)
def test_options_have_defaults(kind):
    needed = FIND if kind == "retrieval" else {"column": "shape"}
    tasks = load({"shape": SHAPE, "other": needed | {"kind": kind}})
    assert type(tasks["other"]) is settings_of(kind)
    assert tasks["other"].weight == 1.0


def test_classification_is_the_default_kind():
    assert load({"shape": {"column": "a"}})["shape"].kind == "classification"


@pytest.mark.parametrize(
    "decoding", ["greedy", "beam/1", "beam/64", "nucleus/0.9", "nucleus/.95", "nucleus/1"]
)
def test_decoding_is_one_word(decoding):
    assert load({"write": WRITE | {"decoding": decoding}})["write"].decoding == decoding


def test_no_task_is_refused():
    (line,) = settings_problems(TaskSections, {"tasks": {}})
    assert line.startswith("tasks: dictionary should have at least 1 item")


@pytest.mark.parametrize("kind", ["classification", "multilabel"])
@pytest.mark.parametrize("balance", ["none", "weights", "sampling"])
def test_classes_can_be_balanced(kind, balance):
    assert load({"a": {"kind": kind, "column": "a", "balance": balance}})["a"].balance == balance


@pytest.mark.parametrize("kind", ["regression", "vqa", "generation"])
def test_what_has_no_classes_cannot_be_balanced(kind):
    task = {"kind": kind, "column": "a", "balance": "weights"}
    (line,) = settings_problems(TaskSections, {"tasks.shape": task})
    assert line.startswith("tasks.shape.balance: unknown key.")


def test_batches_balance_one_task():
    sampled = {"column": "a", "balance": "sampling"}
    assert load({"a": sampled, "b": {"column": "b", "balance": "weights"}})
    (line,) = settings_problems(TaskSections, {"tasks": {"a": sampled, "b": sampled}})
    assert line == (
        "tasks: balance is sampling for a, b: a batch can draw the classes of one task equally "
        "often. Set balance: weights for the others"
    )


def test_retrieval_alone_is_refused():
    (line,) = settings_problems(TaskSections, {"tasks": {"shape": FIND}})
    assert line.startswith("tasks: all are of kind retrieval, which the stage align learns;")
    tasks = load({"shape": SHAPE, "find": FIND})
    assert list(with_heads(tasks)) == ["shape"]


@pytest.mark.parametrize("name", ["answer.short", "a/b", "", "_modules", "-a", "a b"])
def test_odd_name_is_refused(name):
    (line,) = settings_problems(TaskSections, {"tasks": shipped()["tasks"] | {name: SHAPE}})
    assert line.startswith(f"tasks: found {[name]!r}: a name consists of letters, digits, _ and -")


@pytest.mark.parametrize("name", [*sorted(encoder_losses()), "answer_confidence"])
def test_reserved_name_is_refused(name):
    (line,) = settings_problems(TaskSections, {"tasks": shipped()["tasks"] | {name: SHAPE}})
    assert line.startswith(f"tasks: found {[name]!r}: these names are reserved")


def test_losses_of_encoders_are_known():
    assert encoder_losses() == {"masked_tokens", "same_text", "transcript", "views"}


def test_every_odd_name_is_named():
    tasks = {"a/b": SHAPE, "sure": SHAPE, "c.d": SHAPE}
    (line,) = settings_problems(TaskSections, {"tasks": tasks})
    assert line.startswith("tasks: found ['a/b', 'c.d']: ")
