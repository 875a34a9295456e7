"""Settings of a run: only those of operate.settable are taken, and its page shows what changed."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from benchmarks.reference import AllSettings, rows
from components.common.errors import InputError
from components.modalities.registry import MODALITIES
from components.settings.pipeline import PipelineSettings
from flows.dvc.pages import run_page
from flows.dvc.stages import Outcome
from flows.run_settings import Change, check_for_run, set_for_run
from flows.settings import LEARNING, RESERVED, SETTABLE, FlowSettings
from tests.support.params import ROOT, settings_problems, shipped, write_params

TEXT = (ROOT / "params.yaml").read_text()
COMMIT = "0a" * 20
FREE_WORDS = {  # learning settings that take any word; none of them can be a path
    "features.audio.encoder": "a folder in pretrained/audio",
    "features.audio.pretrained": "a file in pretrained/audio",
    "features.image.encoder": "a folder in pretrained/image",
    "features.image.pretrained": "a file in pretrained/image",
    "features.tabular.encoder": "a built-in encoder",
    "features.tabular.pretrained": "a file in pretrained/tabular",
    "features.text.encoder": "a folder in pretrained/text",
    "features.text.pretrained": "a file in pretrained/text",
    **{f"features.{m}.early_stopping.metric": "the name of a metric" for m in MODALITIES},
    "preprocess.tabular.columns": "a file in pretrained/tabular",
    "preprocess.text.tokenizer": "a file in pretrained/text",
    "train.early_stopping.metric": "the name of a metric",
    "train.group_by": "a modality",
    "train.warm_start": "a folder in pretrained/model",
}
NAMES = [key for key, what in FREE_WORDS.items() if "pretrained/" in what]
ELSEWHERE = (
    *("..", "/etc/passwd", "../../secret.safetensors", "../../secret.json"),
    *(f"gpt2@{COMMIT}", f"team/model@{COMMIT}", "package:this.module/a"),
)


@pytest.fixture
def params(tmp_path) -> Path:
    """A copy of the shipped file."""
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    return path


def refuse(path: Path, *assignments: str) -> str:
    """See that settings are refused and nothing is written; return the message."""
    before = path.read_text()
    with pytest.raises(InputError) as error:
        set_for_run(path, assignments)
    assert path.read_text() == before
    return str(error.value)


def test_every_section_is_settable_or_reserved():
    fields = (*PipelineSettings.model_fields.items(), *FlowSettings.model_fields.items())
    assert {field.alias or name for name, field in fields} == {*SETTABLE, *RESERVED}
    assert set(LEARNING) < set(SETTABLE) and set(SETTABLE).isdisjoint(RESERVED)


def test_what_changes_is_returned_with_defaults(params):
    changes = set_for_run(params, ["train.epochs=3", "train.compile=true", "model.fusion=gated"])
    assert sorted(changes, key=lambda change: change.key) == [
        Change("model.fusion.kind", "bilinear", "gated"),
        Change("model.fusion.rank", "128", "–"),
        Change("train.compile", "false", "true"),
        Change("train.epochs", "10", "3"),
    ]
    written = yaml.safe_load(params.read_text())
    assert written["train"] == {"epochs": 3, "learning_rate": 0.005, "compile": True}


def test_same_value_is_no_change(params):
    assert set_for_run(params, ["train.epochs=10"]) == []
    assert params.read_text() == TEXT


@pytest.mark.parametrize(
    "assignment",
    [
        *("ingest.root=/etc", "operate.drop=elsewhere", "operate.notify=slack-webhook/other"),
        *("operate.settable=[train]", "register.alias=champ", "promote.minimum=null"),
        *("operate={}", "promote={require: not_worse}", "tasks.answer.weight=2.0"),
        *("ingest={source: demo, root: /etc}", "evaluate.prompts={}"),
    ],
)
def test_key_that_is_not_listed_is_refused(params, assignment):
    message = refuse(params, "train.epochs=3", assignment)
    key, listed = assignment.partition("=")[0], ", ".join(LEARNING)
    assert message == (
        f"{key}: not settable by a run. operate.settable in params.yaml lists what is: {listed}. "
        "Edit params.yaml by hand"
    )


def test_listed_key_opens_neither_its_parent_nor_its_siblings(params):
    set_settable(params, ["train.epochs", "features.image"])
    assert set_for_run(params, ["train.epochs=3", "features.image={epochs: 4, width: 8}"])
    for word in ("train={epochs: 4}", "train.epochs_=1", "features={image: {width: 16}}"):
        refuse(params, word)
    assert "not settable" in refuse(params, "train.batch_size=8")
    assert "not settable" in refuse(params, "features.text.epochs=8")


def set_settable(path: Path, keys: list[str]) -> None:
    """Write the shipped settings with other settable keys."""
    content = shipped()
    content["operate"]["settable"] = keys
    write_params(path, content)


def test_nothing_is_settable_where_the_list_is_empty(params):
    set_settable(params, [])
    assert "lists what is: nothing" in refuse(params, "seed=1")


def test_anchor_of_yaml_reaches_no_other_key(params):
    content = shipped()
    both = {"templates": ["a {}"], "words": {}}
    content["evaluate"]["prompts"] = {"shape": both, "colour": both}
    content["operate"]["settable"] = ["evaluate.prompts.shape"]
    assert "*id001" in write_params(params, content).read_text()
    message = refuse(params, "evaluate.prompts.shape.templates=['the {}']")
    assert message.startswith("evaluate.prompts.colour.templates: not settable by a run")


def test_free_words_of_learning_settings_are_known():
    """A new one may be a path: what can a run reach with it?"""
    found = {
        key
        for _, (key, value, *_) in rows(AllSettings)
        if key.startswith(tuple(f"{section}." for section in LEARNING))
        and "word" in value.split(" or ")
    }
    assert found == FREE_WORDS.keys()


@pytest.mark.parametrize("value", ELSEWHERE)
def test_run_names_nothing_outside_pretrained(params, value):
    """Those that pass the first check are refused by the next one."""
    lines = refuse(params, *(f"{key}='{value}'" for key in NAMES)).splitlines()
    refused = {line.split(":")[0].strip() for line in lines if "pretrained/" in line}
    for key in {*NAMES} - refused:
        assert "pretrained/" in refuse(params, f"{key}='{value}'")


def test_source_that_is_in_the_file_already_may_stay(params):
    content = shipped()
    content["features"]["text"]["encoder"] = "package:some.where/model"
    write_params(params, content)
    (change,) = set_for_run(params, ["features.text.epochs=3"])
    assert change.key == "features.text.epochs"
    section = "{encoder: 'package:some.where/model', epochs: 4}"
    assert set_for_run(params, [f"features.text={section}"])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        *((f"{key}", f"found '{key}', but no run may set ingest") for key in RESERVED),
        ("ingest.root", "found 'ingest.root', but no run may set ingest, register, promote, op"),
        ("operate.settable", "found 'operate.settable', but no run may set"),
        ("trian.epochs", "found 'trian.epochs'. Did you mean 'train'?"),
        ("train.", "found 'train.', expected a section or a dotted key"),
        ("", "found '', expected a section or a dotted key"),
    ],
)
def test_what_no_run_may_set_cannot_be_listed(entry, message):
    (line,) = settings_problems(FlowSettings, {"operate.settable": ["seed", entry]})
    assert line.startswith(f"operate.settable.1: {message}")


def test_page_of_a_run_shows_what_was_set():
    outcomes = [Outcome("train", "ran", "params.yaml: train.epochs changed", 2.0)]
    page = run_page(outcomes, [Change("train.epochs", "10", "3"), Change("a", "`<b>|", "x")])
    assert "| train | ran | 2.0 | params.yaml: train.epochs changed |" in page
    assert "| train.epochs | `10` → `3` |" in page
    assert "| a | `´<b>\\|` → `x` |" in page
    assert "setting" not in run_page(outcomes)


@pytest.fixture
def reader(tmp_path, monkeypatch) -> Path:
    """A DVC project with the shipped params.yaml, whose one stage copies a setting."""
    write_params(tmp_path / "params.yaml", shipped())
    stage = {
        "cmd": "grep '^  epochs:' params.yaml > read.txt",
        "params": ["train.epochs"],
        "outs": ["read.txt"],
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"read": stage}}))
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_flow_runs_with_other_settings(reader, prefect_api, monkeypatch):
    from flows import pipeline as module

    pages = []
    monkeypatch.setattr(module, "show", lambda page, *_: pages.append(page))
    state = module.pipeline(settings=["train.epochs=5"], return_state=True)
    assert state.is_completed(), state
    assert (reader / "read.txt").read_text().splitlines()[-1] == "  epochs: 5"
    assert "| train.epochs | `10` → `5` |" in pages[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"settings": ["train.epochs=5", "operate.push=true"]}, "operate.push: not settable by"),
        ({"settings": ["train.epoch=4"]}, "Did you mean 'epochs'?"),
        ({"settings": ["train.epochs=5"], "targets": ["raed"]}, "Did you mean 'read'?"),
    ],
)
def test_refused_flow_runs_and_writes_nothing(reader, prefect_api, arguments, message):
    from flows.pipeline import pipeline

    before = (reader / "params.yaml").read_text()
    state = pipeline(**arguments, return_state=True)
    assert state.name == "Invalid" and message in state.message
    assert (reader / "params.yaml").read_text() == before
    assert not (reader / "read.txt").exists()


@pytest.mark.parametrize(
    "word", ["train.epoch=3", "train.epochs=many", "train.epochs", "ingest.root=/etc"]
)
def test_mistake_in_the_shell_is_seen_before_anything_starts(params, monkeypatch, capfd, word):
    from flows.pipeline import main

    monkeypatch.chdir(params.parent)
    assert main(["--set", word]) == 2
    assert word.partition("=")[0] in capfd.readouterr().err
    assert params.read_text() == TEXT
    assert list(params.parent.iterdir()) == [params]


def test_file_is_missing(tmp_path):
    with pytest.raises(InputError, match="params.yaml is missing"):
        check_for_run(tmp_path / "params.yaml", ["seed=1"])
