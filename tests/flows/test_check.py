"""params.yaml is checked as a whole: every problem is named with its key and the nearest one."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.common.errors import InputError
from components.common.nested import merged
from components.settings.pipeline import resolved
from flows.check import STAGES, check_content, check_known, check_text, main
from flows.settings import PARAMS
from tests.support.params import ROOT, change, shipped, write_params

TEXT = (ROOT / "params.yaml").read_text()
NAMED_BY_USERS = (  # mappings whose keys are free
    *("tasks", "promote.minimum", "promote.maximum_drop", "promote.maximum_robustness_drop"),
)


def complaints(params: Any) -> list[str]:
    """Return the lines of the message that refuses parameters."""
    with pytest.raises(InputError) as error:
        check_content(params, PARAMS)
    first, *lines = str(error.value).splitlines()
    assert first == f"{PARAMS} cannot be used:"
    return [line.strip() for line in lines]


def sections(node: dict, key: str = "") -> Iterator[str]:
    """Yield the dotted key of every mapping; that of the whole file is empty."""
    yield key
    for name, value in node.items():
        if isinstance(value, dict) and value:
            yield from sections(value, f"{key}.{name}".lstrip("."))


def section_at(params: dict, key: str) -> dict:
    for part in filter(None, key.split(".")):
        params = params[part]
    return params


SECTIONS = list(sections(shipped()))


def test_shipped_file_is_valid():
    check_text(TEXT.encode(), PARAMS)


def test_only_data_and_tasks_have_to_be_named():
    check_text(b"{ingest: {root: source}, tasks: {answer: {column: answer}}}", PARAMS)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__module__)
def test_resolved_settings_mean_the_same(stage):
    sparse = yaml.safe_load(TEXT)
    assert stage.model_validate(resolved(sparse)) == stage.model_validate(sparse)
    assert resolved(resolved(sparse)) == resolved(sparse)


@pytest.mark.parametrize("section", [key for key in SECTIONS if key not in NAMED_BY_USERS])
def test_misspelt_key_suggests_the_shipped_one(section):
    params = shipped()
    node = section_at(params, section)
    typos = {f"{name[:-1]}_{name[-1]}": name for name in node}
    node |= {typo: node[name] for typo, name in typos.items()}
    lines = complaints(params)
    if section == "evaluate.prompts":  # the names of tasks
        (line,) = lines
        assert line.startswith(
            f"{section}: not tasks of kind classification: 'shap_e', 'colou_r'. "
        )
        return
    assert len(lines) == len(typos)
    for typo, name in typos.items():
        key = f"{section}.{typo}".lstrip(".")
        (line,) = (line for line in lines if line.startswith(f"{key}: "))
        fault = f"found {typo!r}" if section.startswith("train.encoder") else "unknown key"
        assert line.startswith(f"{key}: {fault}. Did you mean {name!r}? Valid here: ")


def test_every_problem_is_named_once():
    changes = {
        "seed": -1,
        "model.fusion": {"kind": "bilinear", "rank": "high"},
        "train.encoders": {"text": "frosen"},
        "promote.minimum": {"accuracy/anwser/image": 0.9},
        "operate.retrain": "daily",
        "features.text.heads": 5,
    }
    params = merged(shipped(), {"train": {"lerning_rate": 0.1}, "sead": 1})
    params = change(params, changes)
    lines = complaints(params)
    assert sorted(line.split(":")[0] for line in lines) == sorted(
        [
            *("seed", "sead", "model.fusion.rank", "train.encoders.text"),
            *("train.lerning_rate", "operate.retrain", "features.text"),
        ]
    )
    del params["operate"]["retrain"]  # gates are checked once the sections are valid
    assert any(
        line.startswith("promote refers to unknown tasks: 'anwser'. Did you mean 'answer'?")
        for line in complaints(params)
    )


@pytest.mark.parametrize("key", ["tasks", "tasks.answer.column", "ingest", "ingest.root"])
def test_missing_key_is_named(key):
    section, _, last = key.rpartition(".")
    params = shipped()
    del section_at(params, section)[last]
    assert complaints(params) == [f"{key}: the key is missing"]


@pytest.mark.parametrize("section", ["ingest", "features", "train", "promote", "register"])
def test_section_that_is_no_mapping_is_named_once(section):
    assert complaints(shipped() | {section: None}) == [f"{section}: found None, expected a mapping"]


@pytest.mark.parametrize("content", ["7", "[seed]"])
def test_file_without_mapping_is_refused(content):
    with pytest.raises(InputError, match="the file: found .*, expected a mapping") as error:
        check_text(content.encode(), PARAMS)
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize("content", ["", "# nothing yet", "{}"])
def test_empty_file_says_what_is_needed(content):
    with pytest.raises(InputError) as error:
        check_text(content.encode(), PARAMS)
    lines = str(error.value).splitlines()[1:]
    assert lines == ["  tasks: the key is missing", "  ingest: the key is missing"]


def test_broken_yaml_is_refused():
    with pytest.raises(InputError, match="params.yaml is not YAML: "):
        check_text(b"seed: [0", PARAMS)


def test_duplicate_key_is_named_with_its_lines():
    with pytest.raises(InputError, match="line 2: the key 'seed' is in line 1 already"):
        check_text(f"seed: 0\nseed: 0\n{TEXT}".encode(), PARAMS)


def test_merged_task_is_valid():
    line = "  shape: {column: shape, sufficient_modalities: [image], weight: 0.3}"
    assert line in TEXT
    text = TEXT.replace(line, line.replace("shape: {", "shape: &shape {"))
    text = text.replace("\npreprocess:", "\n  round: {<<: *shape, weight: 0.5}\n\npreprocess:", 1)
    check_text(text.encode(), PARAMS)
    assert yaml.safe_load(text)["tasks"]["round"]["weight"] == 0.5


def test_command_accepts_the_shipped_file(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["check"])
    main()
    assert capsys.readouterr().out == "params.yaml: every key and value is valid\n"


def test_command_names_a_missing_file(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["check"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    message = "params.yaml is missing. This writes one for your data: python -m components.start"
    assert message in capsys.readouterr().err
    with pytest.raises(InputError, match=message):
        check_known(Path("params.yaml"))


def test_command_refuses_a_named_file(monkeypatch, tmp_path, capsys):
    params = change(shipped(), {"train": shipped()["train"] | {"epocs": 1}})
    path = write_params(tmp_path / "mine.yaml", params)
    monkeypatch.setattr(sys, "argv", ["check", str(path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    message = f"error: {path} cannot be used:\n  train.epocs: unknown key. Did you mean 'epochs'?"
    assert capsys.readouterr().err.startswith(message)
