"""Gradient modulation between modalities."""

import math

import pytest
import torch
from components.modalities.registry import MODALITIES

from components.train.data import predict
from components.train.modulation import (
    coefficient,
    discrepancies,
    modulate,
    own_parameters,
    scores_alone,
)
from tests.train.test_train import make_course

TASKS = ("answer", "question_type")


def test_a_modality_s_score_is_the_probability_of_the_truth_when_it_is_alone():
    course = make_course()
    samples = course.samples["train"]
    found = scores_alone(course, torch.arange(len(samples)), TASKS)
    assert set(found["answer"]) == set(MODALITIES)
    assert set(found["question_type"]) == {"text", "audio"}  # an image cannot decide it
    for place, m in enumerate(MODALITIES):
        only = (torch.arange(3) == place).expand(len(samples), -1)
        own = samples.keep(only)[samples.presence[:, place]]
        with torch.no_grad():
            chances = predict(course, own)["answer"].softmax(1)
        truth = [float(row[t]) for row, t in zip(chances, own.targets["answer"], strict=True)]
        assert float(found["answer"][m]) == pytest.approx(sum(truth) / len(truth), rel=1e-4)


@pytest.mark.parametrize("gone", MODALITIES)
def test_a_modality_that_no_sample_has_is_not_scored(gone):
    course = make_course(missing=0.0)
    kept = torch.tensor([m != gone for m in MODALITIES])
    samples = course.samples["train"].keep(kept.expand(len(course.samples["train"]), -1))
    course.samples["train"] = samples
    found = scores_alone(course, torch.arange(len(samples)), TASKS)
    assert set(found["answer"]) == set(MODALITIES) - {gone}
    assert gone not in discrepancies(found, dict.fromkeys(TASKS, 1.0))


def test_samples_without_a_label_are_not_scored():
    course = make_course()
    samples = course.samples["train"]
    samples.targets["answer"][:] = -1
    found = scores_alone(course, torch.arange(len(samples)), TASKS)
    assert found["answer"] == {}


def scores(**values) -> dict:
    return {m: torch.tensor(value) for m, value in values.items()}


def test_discrepancy_is_the_ratio_of_scores():
    weights = {"answer": 3.0, "question_type": 1.0}
    two = discrepancies({"answer": scores(image=0.2, text=0.6)}, weights)
    assert two == {"image": pytest.approx(1 / 3), "text": pytest.approx(3)}
    three = discrepancies({"answer": scores(image=0.2, text=0.6, audio=0.4)}, weights)
    assert three["text"] == pytest.approx(0.6 / 0.3)
    both = discrepancies(
        {"answer": scores(image=0.2, text=0.6), "question_type": scores(text=0.8, audio=0.4)},
        weights,
    )
    assert both["text"] == pytest.approx((3 * 3 + 1 * 2) / 4)
    assert both["audio"] == pytest.approx(0.5)
    assert discrepancies({"answer": scores(image=0.2)}, weights) == {}


def test_only_who_leads_is_held_back():
    assert coefficient(0.5, 0.8) == coefficient(1.0, 0.8) == 1.0
    assert coefficient(2.0, 0.8) == pytest.approx(1 - math.tanh(1.6))
    assert coefficient(2.0, 0.0) == 1.0


def test_a_modality_s_parameters_bear_its_name():
    for fusion in ("concat", "attention", "bilinear"):
        model = make_course(frozen=(), fusion=fusion).model
        owned = {m: {id(p) for p in own_parameters(model, m)} for m in MODALITIES}
        for m in MODALITIES:
            assert {id(p) for p in model.encoders[m].parameters()} < owned[m]
            assert {id(p) for p in model.projections[m].parameters()} < owned[m]
            assert any(id(p) in owned[m] for p in model.fusion.parameters())
        assert not owned["image"] & owned["text"] | owned["text"] & owned["audio"]
        shared = [*model.transformer.parameters(), *model.heads.parameters(), model.readout]
        assert not {id(p) for p in shared} & set().union(*owned.values())


def test_the_gradients_of_who_leads_shrink_and_noise_is_as_large_as_they_were():
    model = make_course().model
    g = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.grad = 0.5 + torch.randn(parameter.shape, generator=g)
    before = {name: p.grad.clone() for name, p in model.named_parameters()}
    torch.manual_seed(0)
    modulate(model, {"text": 2.0, "image": 0.5}, alpha=0.8)
    residuals = []
    for name, parameter in model.named_parameters():
        part = name.split(".")
        if "text" in part or "image" in part:
            k = 1 - math.tanh(1.6) if "text" in part else 1.0
            noise = parameter.grad - k * before[name]
            residuals.append((noise / before[name].std(correction=0)).flatten())
        else:
            assert parameter.grad.equal(before[name])
    noise = torch.cat(residuals)
    assert noise.mean().item() == pytest.approx(0, abs=0.05)
    assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert noise[:50].std() > 0.5  # each parameter has its own


def test_parameters_without_gradient_stay_without():
    model = make_course().model
    modulate(model, {"text": 2.0}, alpha=0.8)
    assert all(p.grad is None for p in model.parameters())
