"""Training gives the same bytes on other processors, which QEMU emulates."""

import re
import shutil
import subprocess
import sys

import pytest
import torch

from components.common.errors import InputError
from components.training.determinism import make_deterministic
from tests.support.params import ROOT

EMULATOR = "qemu-x86_64"
# A step of what the encoders are made of: convolution, normalisation, attention, AdamW.
STEP = """
import hashlib

import components
import torch
from components.layers.transformer import Transformer
from components.layers.transformer_shape import TransformerShape
from components.training.adamw import AdamW
from components.training.determinism import make_deterministic

make_deterministic(seed=0, threads=1)
shape = TransformerShape(width=32, layers=1, heads=4, dropout=0.1)
convolutions = torch.nn.Sequential(
    torch.nn.Conv2d(3, 32, 3, stride=2), torch.nn.BatchNorm2d(32), torch.nn.GELU()
)
transformer, head = Transformer(shape), torch.nn.Linear(32, 10)
module = torch.nn.ModuleList([convolutions, transformer, head])
optimizer = AdamW(module.parameters(), lr=0.01, fused=True)
images, labels = torch.randn(16, 3, 15, 15), torch.randint(10, (16,))
for _ in range(2):
    tokens = convolutions(images).flatten(2).transpose(1, 2)
    pooled = transformer(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool)).mean(1)
    torch.nn.functional.cross_entropy(head(pooled), labels).backward()
    optimizer.step()
weights = b"".join(p.detach().numpy().tobytes() for p in module.parameters())
print("weights", hashlib.sha256(weights).hexdigest())
"""


def weights(*emulator: str) -> str:
    """Return the hash of the weights after the steps, in a process of their own."""
    done = subprocess.run(
        [*emulator, sys.executable, "-c", STEP], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (found,) = re.findall(r"weights (\w+)", done.stdout)
    return found


@pytest.mark.slow
def test_weights_are_the_same_on_a_processor_of_another_maker():
    """On one without AVX-512, too."""
    if shutil.which(EMULATOR) is None:
        pytest.skip(f"{EMULATOR} is not installed: apt install qemu-user")
    assert weights() == weights(EMULATOR, "-cpu", "Haswell")


@pytest.mark.slow  # imports torch in a process of its own
def test_variables_are_set_before_torch_is_imported():
    """They are read when it is, or at its first operation."""
    code = "import components, torch; print(torch.backends.cpu.get_cpu_capability())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["AVX2"]


def test_square_roots_are_those_of_the_processor():
    """MKL's, which torch.sqrt calls, are not the same everywhere; a power of 0.5 is."""
    for path in (ROOT / "components").rglob("*.py"):
        calls = re.findall(r"\btorch\.sqrt\(|\)\.sqrt\(|\.sqrt_\(", path.read_text())
        assert not calls, path


def test_processor_without_avx2_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: False)
    with pytest.raises(InputError, match="this processor lacks AVX2"):
        make_deterministic(0, 1)


def test_other_kind_of_processor_is_told(monkeypatch, caplog):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    make_deterministic(0, 1)
    assert "not an x86-64 processor" in caplog.text
