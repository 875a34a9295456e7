"""The whole model: from inputs to logits, every weight connected."""

import pytest
import torch

from components.fusion.registry import FUSIONS
from components.model.multimodal import MultimodalModel
from components.tasks.classification.head import Classification
from components.tasks.generation.head import Generation
from components.tasks.regression.head import Regression
from tests.fusion.features import ASSETS, SIZE, SUBSETS, make_features, make_rows, mixed_rows
from tests.support.tiny_model import PRESENT, make_inputs, make_model


@pytest.fixture(params=FUSIONS)
def model(request) -> MultimodalModel:
    return make_model(fusion=request.param)


def test_inputs_become_logits(model):
    logits = model(model.encode(make_inputs(ASSETS)), make_rows())
    assert {task: tuple(values.shape) for task, values in logits.items()} == {
        "answer": (SIZE, 3),
        "shape": (SIZE, 2),
        "question_type": (SIZE, 2),
    }
    assert all(values.isfinite().all() for values in logits.values())


def test_gradients_reach_every_weight(model):
    model.train()
    logits = model(model.encode(make_inputs(ASSETS)), mixed_rows())
    sum((values**2).sum() for values in logits.values()).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().any()]
    parts = ("tokens", "pooled")  # a fusion may read one of them
    excused = tuple(f"projections.{m}.{part}" for m in PRESENT for part in parts)
    assert [name for name in idle if not name.startswith(excused)] == []
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("fusion", ["concat", "bilinear"])
def test_every_head_reads_through_the_last_shared_layer(fusion):
    model = make_model(fusion=fusion)
    for logits in model(model.encode(make_inputs(ASSETS)), make_rows()).values():
        (gradient,) = torch.autograd.grad(
            logits.square().sum(), model.last_shared, retain_graph=True
        )
        assert gradient.norm() > 0


def test_late_fusion_averages_predictions_of_single_modalities():
    model = make_model(fusion="late", every=True)
    features, rows = make_features(0), mixed_rows()
    together = model(features, rows)
    for n, subset in enumerate(SUBSETS):
        alone = [model({m: features[m]}, only(m, rows[m][n])) for m in subset]
        for task, found in together.items():
            sufficient = model.config.tasks[task].sufficient_modalities or PRESENT
            voters = [m for m in subset if m in sufficient] or subset
            logits = [alone[subset.index(m)][task][0] for m in voters]
            match model.tasks[task]:
                case Generation():
                    continue  # texts have no average: see tests/tasks/generation
                case Classification():
                    expected = torch.stack([x.softmax(0) for x in logits]).mean(0).log()
                case Regression():
                    expected = torch.stack(logits).mean(0)
                case _:
                    expected = torch.stack([x.sigmoid() for x in logits]).mean(0).logit()
            torch.testing.assert_close(found[n], expected, atol=1e-5, rtol=1e-5)


def only(modality: str, row: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the rows of a sample that has one modality."""
    return {m: row[None] if m == modality else torch.tensor([-1]) for m in PRESENT}
