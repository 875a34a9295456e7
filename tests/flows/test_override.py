"""Other values in params.yaml from the shell and from Prefect."""

import copy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.common.errors import InputError
from flows.override import _replaced, overridden, override, parsed
from tests.shrunk import ROOT, change, shipped

TEXT = (ROOT / "params.yaml").read_text()


@pytest.fixture
def params(tmp_path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    return path


def keys(node: dict, prefix: str = "") -> list[str]:
    """Every dotted key of nested mappings."""
    found = []
    for name, value in node.items():
        if "." in name:  # cannot be said with dots
            continue
        found.append(prefix + name)
        found += keys(value, f"{prefix}{name}.") if isinstance(value, dict) else []
    return found


VALUES = [None, 3, "a: b # c", [1, "two"], {"b": [1], "a": {}}]


@pytest.mark.parametrize("start", range(len(VALUES)))
def test_a_key_can_be_set_and_nothing_else_changes(start):
    for key in keys(shipped())[start :: 4 * len(VALUES) + 1]:
        expected = change(shipped(), {key: copy.deepcopy(VALUES[start])})
        assert yaml.safe_load(_replaced(TEXT, key, VALUES[start])) == expected, key


def test_lines_of_other_keys_and_comments_stay(params):
    override(params, {"train.device": "cuda", "seed": 7, "promote.minimum": None})
    before, after = TEXT.splitlines(), params.read_text().splitlines()
    lost = [line for line in before if line not in after]
    new = [line for line in after if line not in before]
    assert [line.split("#")[0].rstrip() for line in new] == [
        "seed: 7", "  device: cuda", "  minimum: null",
    ]  # fmt: skip
    assert [line.split(":")[0].strip() for line in lost[:3]] == ["seed", "device", "minimum"]
    assert [line[line.index("#") :] for line in new] == [
        line[line.index("#") :] for line in lost[:3]
    ]
    assert [line.index("#") for line in new] == [line.index("#") for line in lost[:3]]
    assert lost[3:] and all(line.startswith("    ") for line in lost[3:])


def test_the_same_value_leaves_the_file_alone(params):
    stamp = params.stat()
    override(params, {"train.epochs": shipped()["train"]["epochs"]})
    assert params.stat() == stamp


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train.epoch": 3}, "there is no key 'epoch'. Did you mean 'epochs'?"),
        ({"trian.epochs": 3}, "there is no key 'trian'. Did you mean 'train'?"),
        ({"train.epochs.more": 3}, "epochs has no keys of its own. Set it as a whole"),
        ({"train.epochs": "many"}, "train.epochs: input should be a valid integer, found 'many'"),
        ({"seed": 1, "train.device": "gpu"}, "train.device: found 'gpu'"),
    ],
)
def test_a_mistake_is_explained_and_changes_nothing(params, settings, message):
    with pytest.raises(InputError) as error:
        override(params, settings)
    assert message in str(error.value)
    assert params.read_text() == TEXT


def test_a_file_without_the_last_line_s_end(params):
    params.write_text(TEXT.rstrip())
    assert yaml.safe_load(overridden(params, {"operate.push": True}))["operate"]["push"] is True


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="params.yaml is missing"):
        override(tmp_path / "params.yaml", {"seed": 1})


def test_words_of_the_shell():
    words = ["train.epochs=3", "seed=0", "operate.notify=null", "promote.minimum={a=b: 0.5}"]
    assert parsed(words) == {
        "train.epochs": 3, "seed": 0, "operate.notify": None, "promote.minimum": {"a=b": 0.5},
    }  # fmt: skip


@pytest.mark.parametrize("word", ["train.epochs", "=3", "train.epochs=[1"])
def test_words_that_are_none(word):
    with pytest.raises(InputError, match="--set"):
        parsed([word])


@pytest.fixture
def reader(tmp_path, monkeypatch) -> Path:
    """A DVC project whose one stage copies a setting, with the shipped params.yaml."""
    (tmp_path / "params.yaml").write_text(TEXT)
    stage = {
        "cmd": "grep -A1 'ogm_alpha' params.yaml > read.txt",
        "params": ["train.epochs"],
        "outs": ["read.txt"],
    }
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"read": stage}}))
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_flow_runs_with_other_settings(reader, prefect_api):
    from flows.pipeline import pipeline

    state = pipeline(settings={"train.epochs": 3}, return_state=True)
    assert state.is_completed(), state
    assert (reader / "read.txt").read_text().endswith("  epochs: 3\n")
    state = pipeline(settings={"train.epoch": 4}, return_state=True)
    assert state.name == "Invalid" and "Did you mean 'epochs'?" in state.message


@pytest.mark.parametrize("words", ["train.epoch=3", "train.epochs=many", "train.epochs"])
def test_a_mistake_in_the_shell_is_seen_before_anything_starts(reader, capfd, words):
    from flows.pipeline import main

    handler = signal.getsignal(signal.SIGINT)
    try:
        assert main(["--set", words]) == 2
    finally:
        signal.signal(signal.SIGINT, handler)
    assert words.partition("=")[0] in capfd.readouterr().err
    assert (reader / "params.yaml").read_text() == TEXT
