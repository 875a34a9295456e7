"""Fixtures of tests with models of Transformers."""

import socket
from pathlib import Path

import pytest

from tests.support import published

MODELS = {
    "image": ("clip", "vit", "vit_pooled", "dinov2", "convnext"),
    "text": ("clip", "clap", "bert", "roberta", "t5"),
    "audio": ("whisper", "wav2vec2", "wav2vec2_large", "ast", "clap", "clap_fused"),
}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """Fail if a call leaves the machine."""

    def refuse(*_):
        raise AssertionError("a call to the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="package")
def folder(tmp_path_factory) -> Path:
    """Return a folder with all models, which stands for pretrained/<modality> of each modality."""
    made = tmp_path_factory.mktemp("pretrained")
    for name in {name for names in MODELS.values() for name in names}:
        published.save(made / name, getattr(published, name))
    return made
