"""Heads over single modalities, which the model starts from."""

from collections.abc import Mapping

import pytest
import torch

from components.huggingface.encoder_file import load_encoder, save_encoder
from components.layers.features import Features
from components.model.experts import Experts
from components.tasks.classification.head import Classification
from components.tasks.regression.head import Regression
from components.tasks.task import Task
from tests.support.tiny_model import make_model

COUNT, WIDTH, PLAIN_WIDTH, CLASSES = 4, 3, 5, 2
TASK = Classification(classes=["no", "yes"])
KNOWN = {"image": {"pooled": ("answer",), "plain": ("answer",)}, "text": {"plain": ("answer",)}}


def make_experts(task: Task = TASK, known: Mapping = KNOWN) -> Experts:
    torch.manual_seed(0)
    widths = {(m, p): WIDTH if p == "pooled" else PLAIN_WIDTH for m in known for p in known[m]}
    return Experts(widths, {"answer": task}, known)


def make_features() -> dict[str, Features]:
    tokens, mask = torch.zeros(COUNT, 1, WIDTH), torch.ones(COUNT, 1, dtype=torch.bool)
    return {
        m: Features(tokens, mask, torch.randn(COUNT, WIDTH), torch.randn(COUNT, PLAIN_WIDTH))
        for m in KNOWN
    }


def said(experts: Experts, features: Mapping[str, Features], m: str, part: str) -> torch.Tensor:
    return experts.head("answer", m, part)(getattr(features[m], part))


ROWS = {"image": torch.tensor([0, 1, -1]), "text": torch.tensor([2, -1, 3])}


def test_model_starts_from_the_weighted_sum_of_those_that_are_asked():
    """At first all modalities count the same, and their parts share that."""
    experts, given = make_experts(), make_features()
    logits = {"answer": torch.randn(3, CLASSES), "other": torch.randn(3, 5)}
    found = experts(logits, given, ROWS)
    image = (said(experts, given, "image", "pooled") + said(experts, given, "image", "plain")) / 2
    text = said(experts, given, "text", "plain")
    expected = torch.stack([image[0] + text[2], image[1], text[3]])
    torch.testing.assert_close(found["answer"], expected)
    assert found["other"] is logits["other"]


def test_numbers_are_averaged():
    known = {m: {"pooled": ("answer",)} for m in KNOWN}
    experts, given = make_experts(Regression(mean=0.0, deviation=1.0), known), make_features()
    experts.shares.copy_(torch.tensor([[3.0, 1.0]]))
    found = experts({"answer": torch.zeros(3, 1)}, given, ROWS)["answer"]
    image, text = (said(experts, given, m, "pooled") for m in known)
    torch.testing.assert_close(
        found, torch.stack([(3 * image[0] + text[2]) / 4, image[1], text[3]])
    )


def test_without_an_expert_fusion_speaks():
    experts, logits = make_experts(), torch.randn(3, CLASSES)
    features = {"audio": make_features()["image"]}
    rows = {**ROWS, "audio": torch.arange(3)}
    assert experts({"answer": logits}, features, rows)["answer"] is logits


def test_sample_without_an_expert_is_answered_alike_beside_others():
    experts, given, logits = make_experts(), make_features(), torch.randn(3, CLASSES)
    experts.gain.data.fill_(0.5)
    rows = {m: torch.where(torch.arange(3) == 1, -1, places) for m, places in ROWS.items()}
    found = experts({"answer": logits}, given, rows)["answer"]
    assert found[1].equal(logits[1])
    assert not found[[0, 2]].allclose(logits[[0, 2]])


def test_fusion_learns_what_to_add():
    """Experts stay as they are."""
    experts, given = make_experts(), make_features()
    rows = {m: torch.arange(COUNT) for m in KNOWN}
    logits = {"answer": torch.randn(COUNT, CLASSES, requires_grad=True)}
    experts(logits, given, rows)["answer"][:, 0].sum().backward()
    assert experts.gain.grad.abs().item() > 0
    assert [name for name, p in experts.named_parameters() if p.requires_grad] == ["gain"]
    experts.gain.data.fill_(2.0)
    more = experts(logits, given, rows)["answer"]
    less = experts({"answer": torch.zeros(COUNT, CLASSES)}, given, rows)["answer"]
    torch.testing.assert_close(more - less, 2 * logits["answer"])


@pytest.mark.parametrize("part", ["pooled", "plain"])
def test_file_of_an_encoder_has_its_heads_apart(tmp_path, part):
    encoder = make_model().encoders["image"]
    heads = {(part, n): {"weight": torch.randn(2, 3), "bias": torch.randn(2)} for n in ("a", "b.c")}
    save_encoder(tmp_path / "image.safetensors", encoder, None, heads)
    weights, found = load_encoder(tmp_path / "image.safetensors")
    assert weights.keys() == encoder.state_dict().keys()
    assert found.keys() == heads.keys()
    assert all(found[key][name].equal(heads[key][name]) for key in heads for name in heads[key])
