"""Linear heads over plain features."""

import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from components.data.assets import AssetTensors
from components.features.plain_heads import (
    PENALTIES,
    Labelled,
    fit_head,
    fit_scale_of_logits,
    minimise_penalised,
    plain_heads,
)
from components.layers.plain import PLAIN
from components.tasks.classification.head import Classification
from components.tasks.classification.settings import ClassificationSettings

COUNT, WIDTH = 60, 4
TASK = Classification(classes=["a", "b", "c"])
NOBODY = torch.arange(0)


def make_assets() -> AssetTensors:
    torch.manual_seed(0)
    return AssetTensors(
        tuple(f"a{row}" for row in range(COUNT)), {PLAIN: torch.randn(COUNT, WIDTH)}
    )


def make_labels() -> pd.Series:
    torch.manual_seed(1)
    noisy = make_assets().tensors[PLAIN][:, :3] + 0.5 * torch.randn(COUNT, 3)
    return pd.Series([TASK.classes[code] for code in noisy.argmax(1)])


def make_samples(**columns) -> pd.DataFrame:
    """Return a sample per asset: 40 for training, 10 each for validation and test."""
    return pd.DataFrame(
        {
            "image_id": [f"a{row}" for row in range(COUNT)],
            "split": ["train"] * 40 + ["validation"] * 10 + ["test"] * 10,
            "kind": make_labels(),
        }
    ).assign(**columns)


def labelled(first: int, last: int) -> Labelled:
    rows = torch.arange(first, last)
    return Labelled(make_assets().tensors[PLAIN], rows, TASK.targets(make_labels())[rows])


def heads_of(samples: pd.DataFrame, **options) -> dict[str, torch.Tensor]:
    """Return the weights of the head of the task; nothing if it has none."""
    tasks = {"kind": ClassificationSettings(column="kind", **options)}
    vocabulary = {"kind": {"classes": list(TASK.classes)}}
    heads = plain_heads("image", make_assets(), samples, tasks, vocabulary)
    return heads.get(("plain", "kind"), {})


def test_head_is_that_of_scikit_learn():
    train = labelled(0, 40)
    head = fit_head(TASK.loss, 3, train, train[NOBODY])
    # Its penalty is |w|² / 2C for the sum of the losses, ours a share of |w|² for their mean.
    expected = LogisticRegression(C=1 / (2 * 1e-4 * 40), max_iter=5000, tol=1e-8)
    expected.fit(train.features[:40], train.targets)
    found = head(train.features).softmax(1).detach().numpy()
    assert abs(found - expected.predict_proba(train.features)).max() < 0.01


def test_penalty_is_the_best_on_validation_after_calibration():
    train, validation = labelled(0, 40), labelled(40, 50)
    losses = []
    for penalty in PENALTIES:
        head = fit_head(TASK.loss, 3, train[NOBODY], validation)  # all weights are 0
        minimise_penalised(head, TASK.loss, train, penalty)
        losses.append(calibrated_loss(head, validation))
    found = validation.loss(fit_head(TASK.loss, 3, train, validation), TASK.loss).item()
    assert found == pytest.approx(min(losses), rel=0.02)
    assert max(losses) > 1.1 * min(losses)


def calibrated_loss(head: torch.nn.Module, validation: Labelled) -> float:
    logits = head(validation.features)[validation.rows].detach()
    scale = fit_scale_of_logits(logits, validation.targets, TASK.loss)
    return TASK.loss(scale * logits, validation.targets).item()


def test_head_is_as_sure_as_it_is_right():
    """Also one that knows its training samples by heart, of which there are as few as features."""
    torch.manual_seed(0)
    targets = torch.randint(0, 3, (220,))
    features = 2 * torch.nn.functional.one_hot(targets, 20) + torch.randn(220, 20)
    train, validation = (
        Labelled(features, rows, targets[rows]) for rows in torch.arange(220).split([20, 200])
    )
    logits = fit_head(TASK.loss, 3, train, validation)(features)[validation.rows]
    again = fit_scale_of_logits(logits.detach(), validation.targets, TASK.loss)
    assert again.item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("factor", [0.05, 1.0, 20.0])
def test_scale_of_logits_is_that_of_the_least_loss(factor):
    """Whatever it was before."""
    torch.manual_seed(0)
    logits = 2.0 * torch.randn(5000, 3)
    targets = logits.softmax(1).multinomial(1).squeeze(1)
    found = fit_scale_of_logits(factor * logits, targets, TASK.loss)
    assert factor * found.item() == pytest.approx(1.0, rel=0.1)


def test_scale_of_logits_is_finite_where_all_samples_are_right():
    logits = torch.eye(3)
    assert 1 < fit_scale_of_logits(logits, torch.arange(3), TASK.loss) < 20


def test_held_out_labels_are_not_learnt():
    samples = make_samples()
    changed = samples.assign(kind=samples["kind"].where(samples["split"] != "test", "a"))
    assert same(heads_of(samples), heads_of(changed))


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(value.equal(two[name]) for name, value in one.items())


def test_without_training_labels_a_head_says_nothing():
    found = heads_of(make_samples(kind=None))
    assert found["weight"].shape == (3, WIDTH)
    assert not any(value.any() for value in found.values())


@pytest.mark.parametrize("deciding", [(), ("image",), ("image", "text"), ("text",)])
def test_a_modality_that_cannot_decide_has_no_head(deciding):
    found = heads_of(make_samples(), sufficient_modalities=deciding)
    assert bool(found) == (deciding != ("text",))


def test_assets_of_several_samples_count_as_often():
    samples = make_samples()
    first = samples[samples["split"] == "train"].head(20)
    twice = pd.concat([samples, first], ignore_index=True)
    assert not same(heads_of(samples), heads_of(twice))
    every = samples[samples["split"] == "train"]
    doubled = heads_of(pd.concat([samples, every], ignore_index=True))
    for name, value in heads_of(samples).items():
        torch.testing.assert_close(doubled[name], value, atol=1e-2, rtol=1e-2)


def test_sampled_classes_are_drawn_equally_often():
    rare = make_labels().where(make_labels() != "a", None)
    rare[:2] = "a"
    plain, sampled = (heads_of(make_samples(kind=rare), balance=b) for b in ("none", "sampling"))
    assert sampled["bias"][0] > plain["bias"][0]
