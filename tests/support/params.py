"""The shipped configuration made small."""

import copy
from functools import cache
from pathlib import Path
from typing import TypeVar

import yaml

from components.common.nested import merged
from components.stage.settings import Settings, problems
from flows.settings import FlowSettings

ROOT = Path(__file__).parents[2]

SMALL = {
    "ingest.source.images": 40,
    "ingest.source.voices": {
        "train": ["en/150/35", "en-us/152/42"],
        "validation": ["en-us-nyc/160/45"],
        "test": ["en-gb-x-gbclan/155/45", "en/165/45"],
    },
    "ingest.max_bad_fraction": 0.1,
    "preprocess.image.size": 32,
    "preprocess.text.vocab_size": 300,
    "preprocess.audio.sample_rate": 8000,
    "preprocess.audio.n_mels": 16,
    "preprocess.audio.n_fft": 512,
    "preprocess.audio.hop_length": 256,
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
    "preprocess.tabular.vocab_size": 64,
    "features.tabular.width": 8,
    "features.tabular.layers": 1,
    "features.tabular.heads": 2,
    "features.tabular.epochs": 2,
    "align.embed_dim": 8,
    "align.epochs": 1,
    "align.batch_size": 64,
    "model.size": {"width": 8, "layers": 1, "heads": 2},
    "model.fusion": {"kind": "bilinear", "rank": 8},
    "train.epochs": 2,
    "train.batch_size": 16,
}

WITHOUT_TASKS = {  # settings that refer to tasks
    "evaluate.prompts": {},
    "promote.minimum": None,
    "promote.maximum_drop": None,
    "promote.require": "not_worse",
    "promote.maximum_robustness_drop": None,
}

FEW_QUESTIONS = {  # for encoders in full size; some answers are in the test split only
    "ingest.source.images": 6,
    "ingest.source.voices": {
        "train": ["en/150/35"],
        "validation": ["en-us-nyc/160/45"],
        "test": ["en-gb-x-gbclan/155/45"],
    },
    "ingest.max_bad_fraction": 0.9,
}

EXAMPLES = {  # each configuration in examples/ → what makes its data small
    "digits": {"ingest.source.images": 15},
    "minilm": FEW_QUESTIONS,
    "pretrained": FEW_QUESTIONS,
}

SettingsT = TypeVar("SettingsT", bound=Settings)


def shipped(name: str = "params.yaml") -> dict:
    """Return a parameter file of the repository with every setting, defaults included."""
    return copy.deepcopy(_shipped(name))


@cache
def _shipped(name: str) -> dict:
    from components.settings.pipeline import resolved  # here, as it imports torch

    content = yaml.safe_load((ROOT / name).read_text())
    flows = FlowSettings.model_validate(content).model_dump(mode="json", by_alias=True)
    return merged(resolved(content), flows)


def change(params: dict, changes: dict) -> dict:
    """Return a copy of params with other values at dotted keys, all of which exist."""
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
    """Return the shipped parameters with tiny widths, few samples and few epochs, then `changes`.

    If `changes` have other tasks, settings that refer to the shipped tasks are emptied.
    """
    changes = changes or {}
    small = {k: v for k, v in SMALL.items() if k.rpartition(".")[0] not in changes}
    return change(shipped(), small | (WITHOUT_TASKS if "tasks" in changes else {}) | changes)


def small_example(name: str) -> dict:
    """Return the parameters of an example, made small as the shipped ones are."""
    params = shipped(f"examples/{name}.yaml")
    sizes = {key: value for key, value in SMALL.items() if not key.startswith("ingest.source.")}
    return change(params, sizes | EXAMPLES[name])


def small_settings(sections: type[SettingsT], changes: dict | None = None) -> SettingsT:
    """Return `small_params` as the settings of a stage."""
    return sections.model_validate(small_params(changes))


def settings_problems(sections: type[Settings], changes: dict) -> list[str]:
    """Return what a stage complains about in the shipped parameters with other values."""
    return list(problems(change(shipped(), changes), sections))


def write_params(path: Path, params: dict) -> Path:
    """Write params as YAML."""
    path.write_text(yaml.dump(params, Dumper=yaml.CSafeDumper, sort_keys=False))
    return path
