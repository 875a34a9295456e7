"""Task sampling: which tasks a step trains."""

import math
from collections import Counter

import pytest
import torch

from components.common.errors import InputError
from components.training.sampler_settings import SAMPLER_SETTINGS
from components.training.task_sampling import SAMPLERS, UNIFORM_FRACTION, TaskSampler

COUNTS = {"answer": 10_000, "tags": 100, "size": 100, "reply": 0}
EQUAL = dict.fromkeys(COUNTS, 50)


def make(kind: str, counts=COUNTS, **options) -> TaskSampler:
    return SAMPLERS[kind](counts, SAMPLER_SETTINGS[kind](**options))


def progress(*values: float) -> dict[str, float]:
    return dict(zip(COUNTS, values, strict=True))


def test_every_sampler_has_settings():
    assert SAMPLERS.keys() == SAMPLER_SETTINGS.keys()


def test_all_draws_nothing():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert make("all").draw(10) is None
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_by_size_probability_is_the_root_of_the_size(temperature):
    sampler = make("size", temperature=temperature)
    roots = [n ** (1 / temperature) for n in COUNTS.values()]
    assert sampler.probabilities.tolist() == pytest.approx([root / sum(roots) for root in roots])
    torch.manual_seed(0)
    drawn = Counter(sampler.draw(20_000))
    assert drawn["reply"] == 0  # it has no label
    for task, probability in zip(COUNTS, sampler.probabilities.tolist(), strict=True):
        assert drawn[task] / 20_000 == pytest.approx(probability, abs=0.015)


@pytest.mark.parametrize("focus", [0.0, 1.0, 2.0])
def test_lagging_is_the_focal_loss_of_progress(focus):
    sampler = make("lagging", EQUAL, focus=focus)
    assert sampler.probabilities.tolist() == pytest.approx([0.25] * 4)  # nothing is known yet
    reached = [0.5, 0.9, 0.6, 0.8]
    sampler.learn(progress(*reached))
    difficulty = [-((1 - k) ** focus) * math.log(k) for k in reached]
    expected = [
        (1 - UNIFORM_FRACTION) * d / sum(difficulty) + UNIFORM_FRACTION / 4 for d in difficulty
    ]
    assert sampler.probabilities.tolist() == pytest.approx(expected, rel=1e-5)


def test_finished_task_gives_up_its_steps_and_gets_them_back():
    sampler = make("lagging", EQUAL)
    sampler.learn(progress(1.0, 0.5, 0.5, 0.5))
    first, *others = sampler.probabilities.tolist()
    assert first == pytest.approx(UNIFORM_FRACTION / 4, rel=1e-5)
    assert others == pytest.approx([(1 - UNIFORM_FRACTION / 4) / 3] * 3)
    sampler.learn(progress(0.6, 0.5, 0.5, 0.5))
    assert sampler.probabilities[0].item() > 2 * UNIFORM_FRACTION / 4


def test_all_finished_is_uniform():
    sampler = make("lagging", EQUAL)
    sampler.learn(progress(1.0, 1.0, 1.0, 1.0))
    assert sampler.probabilities.tolist() == pytest.approx([0.25] * 4)


def test_task_without_labels_is_never_sampled():
    sampler = make("lagging", COUNTS)
    sampler.learn(progress(0.5, 0.5, 0.5, 0.5))
    assert sampler.probabilities[3] == 0


def test_task_without_validation_has_the_mean_difficulty():
    sampler = make("lagging", EQUAL)
    sampler.learn({"answer": 0.5, "tags": 0.5})
    assert sampler.probabilities.tolist() == pytest.approx([0.25] * 4)


def test_without_validation_tasks_stay_equal():
    sampler = make("lagging", EQUAL)
    sampler.learn({})
    assert sampler.probabilities.tolist() == pytest.approx([0.25] * 4)


def test_buffers_hold_all_state():
    sampler, resumed = make("lagging", EQUAL), make("lagging", EQUAL)
    sampler.learn(progress(0.2, 0.5, 0.3, 0.5))
    resumed.load_state_dict(sampler.state_dict())
    for each in (sampler, resumed):
        each.learn(progress(0.9, 0.1, 0.5, 0.5))
    assert resumed.probabilities.equal(sampler.probabilities)


@pytest.mark.parametrize("kind", ["size", "lagging"])
def test_tasks_without_any_label_are_refused(kind):
    with pytest.raises(InputError, match="no training sample has a label"):
        make(kind, dict.fromkeys(COUNTS, 0))
