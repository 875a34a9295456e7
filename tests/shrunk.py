"""The shipped configuration made small, and small media to feed it."""

import copy
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
import yaml
from PIL import Image

from components.config.settings import Settings

ROOT = Path(__file__).parent.parent

SMALL = {
    "ingest.demo.images": 40,
    "ingest.max_bad_fraction": 0.1,
    "preprocess.image.size": 32,
    "preprocess.text.vocabulary": 300,
    "preprocess.audio.sample_rate": 8000,
    "preprocess.audio.mels": 16,
    "preprocess.audio.window": 512,
    "preprocess.audio.hop": 256,
    "features.image.width": 8,
    "features.image.epochs": 2,
    "features.text.width": 8,
    "features.text.layers": 1,
    "features.text.heads": 2,
    "features.text.epochs": 2,
    "features.audio.width": 8,
    "features.audio.layers": 1,
    "features.audio.heads": 2,
    "features.audio.epochs": 2,
    "align.width": 8,
    "align.epochs": 1,
    "align.batch": 64,
    "model.size": {"width": 8, "layers": 1, "heads": 2},
    "model.rank": 8,
    "model.bottlenecks": 2,
    "train.epochs": 2,
    "train.batch": 16,
}

OF_TASKS = {  # settings that name tasks, without any
    "evaluate.prompts": {},
    "promote.minimum": None,
    "promote.maximum_drop": None,
    "promote.require": "not_worse",
    "promote.maximum_robustness_drop": None,
}

EXAMPLES = {  # each configuration in examples/: what makes its data few
    "digits": {"ingest.digits.images": 15},
    "minilm": {"ingest.demo.images": SMALL["ingest.demo.images"]},
}


def shipped() -> dict:
    """params.yaml as it is in the repository."""
    return yaml.safe_load((ROOT / "params.yaml").read_text())


def change(params: dict, changes: dict) -> dict:
    """A copy of `params` with other values at dotted keys; a key that is not there is an error."""
    params = copy.deepcopy(params)
    for key, value in changes.items():
        *path, last = key.split(".")
        node = params
        for part in path:
            node = node[part]
        assert last in node, key
        node[last] = copy.deepcopy(value)  # it may be changed further
    return params


def small_params(changes: dict | None = None) -> dict:
    """The shipped parameters with tiny widths, few samples and few epochs, then `changes`.

    Where these have other tasks, what is shipped for the shipped tasks is left out.
    """
    changes = changes or {}
    return change(shipped(), SMALL | (OF_TASKS if "tasks" in changes else {}) | changes)


def small_example(name: str) -> dict:
    """The parameters of an example, made small as the shipped ones are."""
    params = yaml.safe_load((ROOT / f"examples/{name}.yaml").read_text())
    sizes = {key: value for key, value in SMALL.items() if not key.startswith("ingest.demo.")}
    return change(params, sizes | EXAMPLES[name])


def small_settings(changes: dict | None = None) -> Settings:
    """`small_params` as checked settings."""
    return Settings.model_validate(small_params(changes))


def write_params(path: Path, params: dict) -> Path:
    """Write `params` as YAML."""
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    return path


def run_python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run this interpreter with this tree's modules in reach; its output is text."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_refused(process: subprocess.CompletedProcess, message: str) -> None:
    """Exit code 2 and a message, without a traceback: a mistake of the user."""
    assert process.returncode == 2, process.stderr
    assert message in process.stderr
    assert "Traceback" not in process.stderr


def picture(seed: int = 0, size: tuple[int, int] = (20, 14), mode: str = "RGB") -> Image.Image:
    """Noise of a size (width, height)."""
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    """An image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def png(seed: int = 0, **options) -> bytes:
    """The bytes of a PNG file with noise."""
    return encoded(picture(seed, **options))


def wav(samples: np.ndarray | int = 0, rate: int = 8000, subtype: str | None = None) -> bytes:
    """The bytes of a WAV file: the samples given, or half a second of noise from a seed."""
    if isinstance(samples, int):
        samples = np.random.default_rng(samples).normal(scale=0.1, size=rate // 2)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()
