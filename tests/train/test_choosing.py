"""Which tasks a step trains."""

import math
from collections import Counter

import pytest
import torch

from components.common.errors import InputError
from components.tasks.task_kinds import KINDS
from components.train.balance import Balance
from components.training.task_sampling import CHOICES, RESERVE
from tests.model.worlds import EVERY_TASK, EVERY_VOCABULARY
from tests.shrunk import small_settings
from tests.train.test_train import make_course

COUNTS = {"answer": 10_000, "tags": 100, "size": 100, "reply": 0}
TASKS = {name: EVERY_TASK[name] for name in COUNTS}
KINDS_OF = {name: KINDS[task.kind](**EVERY_VOCABULARY[name]) for name, task in TASKS.items()}


def make(way: str, counts=COUNTS, goals=None, **options):
    changes = {"train.tasks": way} | {f"train.{name}": value for name, value in options.items()}
    tasks = {
        name: task.model_copy(update={"goal": (goals or {}).get(name)})
        for name, task in TASKS.items()
    }
    return CHOICES[way](tasks, KINDS_OF, counts, small_settings(changes).train)


def measured(answer: float, tags: float, size: float, reply: float) -> dict:
    return {
        "accuracy (all)": {"answer": answer},
        "accuracy (image+text)": {"answer": 0.0},
        "f1 (all)": {"tags": tags},
        "absolute_error (all)": {"size": size},
        "soft_score (all)": {"reply": reply},
    }


def test_all_trains_all_and_draws_nothing():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert make("all").draw(10) is None
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_by_size_the_chance_is_the_root_of_the_size(temperature):
    choice = make("size", size_temperature=temperature)
    roots = [n ** (1 / temperature) for n in COUNTS.values()]
    assert choice.shares.tolist() == pytest.approx([root / sum(roots) for root in roots])
    torch.manual_seed(0)
    drawn = Counter(choice.draw(20_000))
    assert drawn["reply"] == 0  # it has no label
    for task, share in zip(COUNTS, choice.shares.tolist(), strict=True):
        assert drawn[task] / 20_000 == pytest.approx(share, abs=0.015)


ALIKE = dict.fromkeys(COUNTS, 50)


@pytest.mark.parametrize("focus", [0.0, 1.0, 2.0])
def test_lagging_is_the_focal_loss_of_progress(focus):
    choice = make("lagging", ALIKE, lagging_focus=focus)
    assert choice.shares.tolist() == pytest.approx([0.25] * 4)  # nothing is known yet
    choice.learn(measured(0.5, 0.9, 0.4, 0.8))
    progress = [0.5, 0.9, 1 - 0.4, 0.8]
    difficulty = [-((1 - k) ** focus) * math.log(k) for k in progress]
    expected = [(1 - RESERVE) * d / sum(difficulty) + RESERVE / 4 for d in difficulty]
    assert choice.shares.tolist() == pytest.approx(expected, rel=1e-5)


def test_a_task_that_is_done_gives_its_steps_to_the_others_and_gets_them_again():
    choice = make("lagging", ALIKE)
    choice.learn(measured(1.0, 0.5, 0.5, 0.5))
    assert choice.shares[0].item() == pytest.approx(RESERVE / 4, rel=1e-5)
    assert choice.shares[1:].tolist() == pytest.approx([(1 - RESERVE / 4) / 3] * 3)
    choice.learn(measured(0.6, 0.5, 0.5, 0.5))
    assert choice.shares[0].item() > 2 * RESERVE / 4


def test_it_is_done_at_its_goal():
    goals = {"answer": 0.6, "size": 0.4}
    choice = make("lagging", ALIKE, goals)
    choice.learn(measured(0.6, 0.5, 0.4, 0.5))
    assert choice.shares[[0, 2]].tolist() == pytest.approx([RESERVE / 4] * 2, rel=1e-4)


def test_all_done_is_all_alike_and_tasks_without_labels_stay_out():
    choice = make("lagging", ALIKE)
    choice.learn(measured(1.0, 1.0, 0.0, 1.0))
    assert choice.shares.tolist() == pytest.approx([0.25] * 4)
    choice = make("lagging", COUNTS)
    choice.learn(measured(0.5, 0.5, 0.5, 0.5))
    assert choice.shares[3] == 0


def test_a_task_that_validation_cannot_measure_gets_the_mean_of_the_others():
    choice = make("lagging", ALIKE)
    choice.learn({"accuracy (all)": {"answer": 0.5}, "f1 (all)": {"tags": 0.5}})
    assert choice.shares.tolist() == pytest.approx([0.25] * 4)


def test_without_validation_all_tasks_stay_alike():
    choice = make("lagging", ALIKE)
    choice.learn({})
    assert choice.shares.tolist() == pytest.approx([0.25] * 4)


def test_it_goes_on_from_its_buffers():
    choice = make("lagging", ALIKE)
    choice.learn(measured(0.2, 0.5, 0.7, 0.5))
    resumed = make("lagging", ALIKE)
    resumed.load_state_dict(choice.state_dict())
    for each in (choice, resumed):
        each.learn(measured(0.9, 0.1, 0.5, 0.5))
    assert resumed.shares.equal(choice.shares)


def test_a_step_of_one_task_has_samples_with_its_label_only():
    course = make_course(batch=4, count=90)
    targets = course.samples["train"].targets
    targets["shape"][torch.arange(len(targets["shape"])) % 3 > 0] = -1
    torch.manual_seed(0)
    options = small_settings({"train.tasks": "size", "train.size_temperature": 1.0}).train
    steps = Balance(course, options).steps()
    assert len(steps) == len(Balance(course, small_settings().train).steps())
    assert {step.tasks for step in steps} <= {(task,) for task in course.tasks}
    for step in steps:
        (task,) = step.tasks
        presence = course.samples["train"][step.index].presence
        assert (targets[task][step.index] != -1).all()
        assert course.model.config.answerable(task, presence).all()


def test_all_samples_with_a_label_come_before_one_comes_again():
    course = make_course(batch=4, count=90)
    course.samples["train"].targets["shape"][:] = -1
    course.samples["train"].targets["question_type"][:] = -1
    torch.manual_seed(0)
    options = small_settings({"train.tasks": "size"}).train
    steps = Balance(course, options).steps()
    assert {step.tasks for step in steps} == {("answer",)}  # the others have no label
    index = torch.cat([step.index for step in steps])
    assert index.sort().values.equal(torch.arange(len(course.samples["train"])))


def test_where_no_task_has_a_label_none_can_be_drawn():
    course = make_course()
    for targets in course.samples["train"].targets.values():
        targets[:] = -1
    for way in ("size", "lagging"):
        with pytest.raises(InputError, match="no training sample has a label"):
            Balance(course, small_settings({"train.tasks": way}).train)
