"""How much experts count is fitted to the validation samples."""

from dataclasses import replace

import pytest
import torch

from components.model.experts import Experts
from components.train.data import TrainingData
from components.train.expert_shares import fit_shares
from tests.train.small_data import make_data, train_settings

KNOWN = {"image": {"pooled": ("answer",)}, "text": {"pooled": ("answer",)}}


@pytest.fixture
def data() -> TrainingData:
    """Samples whose answer the image says, and the text does not."""
    found = make_data(train_settings(), missing=0.0)
    model = found.model
    widths = {(m, "pooled"): model.encoder(m).width for m in KNOWN}
    torch.manual_seed(0)
    model.experts = Experts(widths, {"answer": model.tasks["answer"]}, KNOWN)
    for m in KNOWN:
        torch.nn.init.normal_(model.experts.head("answer", m, "pooled").weight)
    samples = found.samples["validation"]
    distinct, compact = samples.compact()
    with torch.no_grad():
        opinions = model.experts.opinions("answer", found.features(distinct), compact.rows)
    targets = {**samples.targets, "answer": opinions.logits[:, 0].argmax(1)}
    parts = {**found.samples, "validation": replace(samples, targets=targets)}
    return replace(found, samples=parts)


def losses_of(data: TrainingData) -> dict:
    return {name: task.loss for name, task in data.model.tasks.items()}


def loss_on_validation(data: TrainingData) -> float:
    samples = data.samples["validation"]
    with torch.no_grad():
        logits = data.logits(samples)["answer"]
    return data.model.tasks["answer"].loss(logits, samples.targets["answer"]).item()


def test_those_that_are_right_count_more(data):
    before = loss_on_validation(data)
    fit_shares(data, losses_of(data))
    image, text = data.model.experts.shares[0]
    assert image > 1 > text > 0
    assert loss_on_validation(data) < before


def test_fusion_that_does_not_help_is_turned_down(data):
    data.model.experts.gain.data.fill_(5.0)
    fit_shares(data, losses_of(data))
    assert 0 < data.model.experts.gain.item() < 5


def test_few_samples_change_little(data):
    fit_shares(data, losses_of(data))
    many = data.model.experts.shares.clone()
    data.model.experts.shares.fill_(1.0)
    few = {**data.samples, "validation": data.samples["validation"][torch.arange(2)]}
    fit_shares(replace(data, samples=few), losses_of(data))
    assert (data.model.experts.shares - 1).abs().max() < (many - 1).abs().max()


def test_samples_that_experts_cannot_decide_do_not_count(data):
    """Here the image alone decides, and half of the samples have none."""
    tasks = data.model.config.tasks
    decided = tasks["answer"].model_copy(update={"sufficient_modalities": ("image",)})
    data.model.config.tasks["answer"] = decided
    samples = data.samples["validation"]
    rows = {**samples.rows, "image": samples.rows["image"].clone()}
    rows["image"][: len(samples) // 2] = -1
    halved = replace(samples, rows=rows)
    initial = data.model.experts.shares.clone()
    found = []
    for part in (halved, halved[rows["image"] >= 0]):
        data.model.experts.shares.copy_(initial)
        fit_shares(replace(data, samples={**data.samples, "validation": part}), losses_of(data))
        found.append(data.model.experts.shares.clone())
    torch.testing.assert_close(*found)


def test_without_validation_samples_nothing_changes(data):
    before = data.model.experts.shares.clone()
    none = {**data.samples, "validation": data.samples["validation"][torch.arange(0)]}
    fit_shares(replace(data, samples=none), losses_of(data))
    assert data.model.experts.shares.equal(before)


def test_model_without_experts_is_left_alone():
    data = make_data(train_settings(), missing=0.0)
    before = {name: value.clone() for name, value in data.model.state_dict().items()}
    fit_shares(data, losses_of(data))
    assert all(value.equal(before[name]) for name, value in data.model.state_dict().items())
