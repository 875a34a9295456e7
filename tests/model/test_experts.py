"""Heads of encoders that the model starts from."""

import pytest
import torch

from components.huggingface.encoder_file import load_encoder, save_encoder
from components.layers.features import Features
from components.model.experts import Experts
from components.tasks.classification.head import Classification
from tests.support.tiny_model import make_model

COUNT, WIDTH, CLASSES = 4, 3, 2


@pytest.fixture
def experts() -> Experts:
    torch.manual_seed(0)
    widths = {"image": WIDTH, "text": WIDTH}
    task = Classification(classes=["no", "yes"])
    return Experts(widths, {"answer": task}, dict.fromkeys(widths, ("answer",)))


def features() -> dict[str, Features]:
    tokens, mask = torch.zeros(COUNT, 1, WIDTH), torch.ones(COUNT, 1, dtype=torch.bool)
    return {m: Features(tokens, mask, torch.randn(COUNT, WIDTH)) for m in ("image", "text")}


def test_model_starts_from_the_average_of_the_experts_that_are_asked(experts):
    given = features()
    rows = {"image": torch.tensor([0, 1, -1]), "text": torch.tensor([2, -1, 3])}
    logits = {"answer": torch.randn(3, CLASSES), "other": torch.randn(3, 5)}
    found = experts(logits, given, rows)
    image, text = (
        experts.heads["answer"][m](given[m].pooled).softmax(1) for m in ("image", "text")
    )
    expected = torch.stack([(image[0] + text[2]) / 2, image[1], text[3]])
    torch.testing.assert_close(found["answer"].softmax(1), expected)
    assert found["other"] is logits["other"]


def test_fusion_learns_what_to_add(experts):
    """Experts stay as they are."""
    rows = {m: torch.arange(COUNT) for m in ("image", "text")}
    logits = {"answer": torch.randn(COUNT, CLASSES, requires_grad=True)}
    experts(logits, features(), rows)["answer"][:, 0].sum().backward()
    assert experts.gain.grad.abs().item() > 0
    assert [name for name, p in experts.named_parameters() if p.requires_grad] == ["gain"]
    experts.gain.data.fill_(2.0)
    given = features()
    more = experts(logits, given, rows)["answer"]
    less = experts({"answer": torch.zeros(COUNT, CLASSES)}, given, rows)["answer"]
    torch.testing.assert_close(more - less, 2 * logits["answer"])


def test_file_of_an_encoder_has_its_heads_apart(tmp_path):
    encoder = make_model().encoders["image"]
    heads = {"answer.weight": torch.randn(2, 3), "a.b.bias": torch.randn(2)}
    save_encoder(tmp_path / "image.safetensors", encoder, None, heads)
    weights, found = load_encoder(tmp_path / "image.safetensors")
    assert weights.keys() == encoder.state_dict().keys()
    assert found.keys() == heads.keys()
    assert all(torch.equal(found[name], heads[name]) for name in heads)
