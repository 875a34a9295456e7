"""A trained model is exported whole and in parts, with the settings that name them."""

import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from components.common.errors import InputError
from components.features.encoder_training import decided_tasks
from components.features.pretrained import load_heads, load_weights
from components.huggingface.encoder_file import load_tasks, save_encoder
from components.model.folder import CONFIG, WEIGHTS, load_model, save_model
from components.model.multimodal import MultimodalModel
from components.train.build import build_model
from components.train.export_pretrained import export_pretrained, main
from components.train.settings import TrainStageSettings
from components.train.warm_start import warm_start
from tests.support.params import small_settings
from tests.support.tiny_model import (
    PRESENT,
    TASKS,
    VOCABULARY,
    fusion_settings,
    make_inputs,
    make_model,
    make_processors,
)
from tests.support.tiny_model import build_model as tiny_model
from tests.train.small_data import train_settings


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command with options."""

    def command(*words: str) -> None:
        options = ["--pretrained", str(tmp_path / "pretrained"), *words]
        monkeypatch.setattr(sys, "argv", ["export_pretrained", *options])
        main()

    return command


def test_model_encoders_and_tokenizer_are_copied(tmp_path):
    model, folder, target = make_model(modalities=("image", "text")), tmp_path / "m", tmp_path / "p"
    save_model(folder, model, make_processors())
    settings = export_pretrained(folder, "champion", target)
    assert settings == {
        "features": {m: {"pretrained": "champion.safetensors"} for m in ("image", "text")},
        "preprocess": {"text": {"tokenizer": "champion.json"}},
        "train": {"warm_start": "champion"},
    }
    copy = target / "model/champion"
    files = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {p.relative_to(copy): p.read_bytes() for p in copy.rglob("*") if p.is_file()} == files
    parts = {"image/champion.safetensors", "text/champion.safetensors", "text/champion.json"}
    found = {str(p.relative_to(target)) for p in target.rglob("*") if p.is_file()}
    assert found == parts | {f"model/champion/{name}" for name in files}
    assert load_model(copy).config == model.config
    warm_start(copy, model, make_processors(), train_settings())


def test_printed_settings_are_valid(run, capsys, tmp_path):
    save_model(tmp_path / "m", make_model(), make_processors())
    run("--name", "champion", "--model", str(tmp_path / "m"))
    settings = yaml.safe_load(capsys.readouterr().out)
    changes = {
        f"{section}.{m}.{key}": value
        for section in ("features", "preprocess")
        for m, options in settings[section].items()
        for key, value in options.items()
    }
    changes["train.warm_start"] = settings["train"]["warm_start"]
    read = small_settings(TrainStageSettings, changes)
    assert read.features["text"].pretrained == "champion.safetensors"
    assert read.preprocess["text"].tokenizer == "champion.json"
    assert (tmp_path / "pretrained/model" / read.train.warm_start / WEIGHTS).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--name", "a", "--model", "nowhere"), f"error: nowhere/{CONFIG} is missing"),
        (("--name", "../a"), "error: --name: found '../a'"),
    ],
)
def test_mistakes_are_refused(run, capsys, tmp_path, words, message):
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


DECIDED = {"image": ("shape",), "text": ("question_type",), "audio": ("question_type",)}
EXPERTS = {m: {"pooled": tasks} for m, tasks in DECIDED.items()}
SETTINGS = {"model.fusion": fusion_settings("bilinear")}


def continued(folder: Path, champion: MultimodalModel) -> MultimodalModel:
    """Return the model that starts from an exported one, through all stages, before it learns."""
    for m in PRESENT:
        file, encoder = folder / m / "champion.safetensors", tiny_model(TASKS, VOCABULARY, 5)
        load_weights(encoder.encoders[m], file, m)
        heads = load_heads(file, m, decided_tasks(m, TASKS, VOCABULARY))
        target = folder / f"encoders/{m}.safetensors"
        save_encoder(target, encoder.encoders[m], None, heads, load_tasks(file))
    save_file(champion.projections.state_dict(), folder / "projections.safetensors")
    settings = small_settings(TrainStageSettings, SETTINGS)
    settings = settings.model_copy(update={"tasks": TASKS})
    earlier = folder / "encoders", folder / "projections.safetensors"
    model = build_model(PRESENT, settings, VOCABULARY, *earlier)
    warm_start(folder / "model/champion", model, make_processors(), train_settings())
    return model.eval()


@torch.no_grad()
def test_model_with_heads_of_encoders_continues_where_it_was(tmp_path):
    champion = tiny_model(TASKS, VOCABULARY, 1, experts=EXPERTS, **SETTINGS)
    save_model(tmp_path / "m", champion, make_processors())
    export_pretrained(tmp_path / "m", "champion", tmp_path)
    model = continued(tmp_path, champion)
    assert model.config.experts == champion.config.experts
    rows = {m: torch.arange(6) for m in PRESENT}
    found, expected = (m(m.encode(make_inputs(6)), rows) for m in (model, champion))
    assert all(found[name].equal(expected[name]) for name in TASKS)
    assert champion.experts.gain.abs().min() > 0


def test_model_without_heads_of_encoders_exports_none(tmp_path):
    save_model(tmp_path / "m", make_model(), make_processors())
    export_pretrained(tmp_path / "m", "champion", tmp_path)
    with pytest.raises(InputError, match="features.text.keep_heads: true, but .* has no heads"):
        decided = decided_tasks("text", TASKS, VOCABULARY)
        load_heads(tmp_path / "text/champion.safetensors", "text", decided)
