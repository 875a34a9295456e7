"""Settings of joint training: choices with options, and rules over several keys."""

import pytest

from components.train.settings import TrainStageSettings
from components.training.sampler_settings import SAMPLER_SETTINGS
from components.training.weighting.settings import WEIGHTING_SETTINGS
from tests.support.params import settings_problems, small_settings


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("threads", 0, ": input should be greater than or equal to 1, found 0"),
        ("seed", True, ": input should be a valid integer, found True"),
        ("train.epochs", "7", ": input should be a valid integer, found '7'"),
        ("train.learning_rate", "3e-3", ": input should be a valid number, found '3e-3'"),
        ("train.learning_rate", 0, ": input should be greater than 0, found 0"),
        ("train.learning_rate", float("nan"), ": input should be less than or equal to 1, found"),
        ("train.modality_dropout", 1.0, ": input should be less than 1, found 1.0"),
        ("train.encoders", "frozen", ": found 'frozen', expected a mapping"),
        ("train.encoders", {"imag": "frozen"}, ".imag: found 'imag'. Did you mean 'image'?"),
        ("train.encoders", {"image": "frosen"}, ".image: found 'frosen'. Did you mean 'frozen'? "),
        (
            "train.encoder_learning_rates",
            {"text": 0},
            ".text: input should be greater than 0",
        ),
        ("train.group_by", "picture", ": found 'picture'. Valid here: image, text, audio"),
        ("train.weighting", "kendall", ": found 'kendall'. Valid here: fixed, gradnorm"),
        ("train.weighting", {"kind": "gradnorm", "alpha": 11.0}, ".alpha: input should be less"),
        ("train.weighting", {"kind": "fixed", "alpha": 1.0}, ".alpha: unknown key. Valid here: "),
        ("train.task_sampling", "largest", ": found 'largest'. Valid here: all, size, lagging"),
        ("train.task_sampling", {"kind": "size", "temperature": 0.5}, ".temperature: input should"),
        ("train.warm_start", "../x", ": found '../x', expected the name of a folder that lies in"),
        ("train.early_stopping", {"patience": 2}, ".metric: the key is missing"),
        ("train.max_grad_norm", 0, ": input should be greater than 0, found 0"),
        ("train.device", "gpu", ": found 'gpu'. Did you mean 'cpu'? Valid here: cpu, cuda"),
        ("train.processes", 0, ": input should be greater than or equal to 1, found 0"),
    ],
    ids=str,
)
def test_wrong_value_is_named_with_its_key(key, value, expected):
    (line,) = settings_problems(TrainStageSettings, {key: value})
    assert line.startswith(f"{key}{expected}")


@pytest.mark.parametrize(
    "other", [{"train.task_sampling": "size"}, {"train.compile": True}], ids=str
)
def test_gradnorm_needs_all_tasks_and_no_compilation(other):
    changes = {"train.weighting": {"kind": "gradnorm", "alpha": 1.5}}
    assert settings_problems(TrainStageSettings, changes) == []
    (line,) = settings_problems(TrainStageSettings, changes | other)
    assert line.startswith("train: weighting is gradnorm, ")


def test_batch_has_a_sample_per_micro_batch():
    changes = {"train.gradient_accumulation_steps": 4, "train.batch_size": 8}
    assert settings_problems(TrainStageSettings, changes | {"train.processes": 2}) == []
    (line,) = settings_problems(TrainStageSettings, changes | {"train.processes": 3})
    assert line.startswith("train: gradient_accumulation_steps × processes (4 × 3) micro-batches")


def test_encoder_is_frozen_by_default():
    train = small_settings(TrainStageSettings, {"train.encoders": {"text": "finetune"}}).train
    assert [train.is_frozen(m) for m in ("image", "text", "audio")] == [True, False, True]


@pytest.mark.parametrize("kind", SAMPLER_SETTINGS)
def test_sampling_is_a_word_or_a_mapping(kind):
    word, mapping = (
        small_settings(TrainStageSettings, {"train.task_sampling": value}).train.task_sampling
        for value in (kind, {"kind": kind})
    )
    assert word == mapping and type(word) is SAMPLER_SETTINGS[kind]


@pytest.mark.parametrize("kind", WEIGHTING_SETTINGS)
def test_weighting_is_a_word_or_a_mapping(kind):
    word, mapping = (
        small_settings(TrainStageSettings, {"train.weighting": value}).train.weighting
        for value in (kind, {"kind": kind})
    )
    assert word == mapping and type(word) is WEIGHTING_SETTINGS[kind]
