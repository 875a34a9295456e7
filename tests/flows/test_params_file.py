"""Edits of params.yaml from the shell and from Prefect: values change, comments stay."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dvc.utils.serialize import dumps_yaml

from components.common.errors import InputError
from flows.params_file import edit, edited, parse_assignments
from tests.support.params import ROOT, change, shipped

TEXT = (ROOT / "params.yaml").read_text()
SECTIONS = re.split(r"\n(?=\w)", TEXT.rstrip())  # each is a file, and is edited in no time
VALUES = [None, 3, "a: b # c", [1, "two"], {"b": [1], "a": {}}]


@pytest.fixture
def params(tmp_path) -> Path:
    """A copy of the shipped file."""
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def unchecked(monkeypatch) -> None:
    """Any value may be written; it is only about the text."""
    monkeypatch.setattr("flows.check.check_text", lambda text, path: None)


def keys(node: dict, prefix: str = "") -> Iterator[str]:
    """Yield every dotted key of nested mappings."""
    for name, value in node.items():
        if "." not in name:  # else dots cannot name it
            yield prefix + name
            yield from keys(value, f"{prefix}{name}.") if isinstance(value, dict) else ()


def comments(text: str) -> list[tuple[str, str]]:
    """Return every comment with the key in its line; the key is empty where there is none."""
    found = (re.match(r"\s*([\w-]*)(.*?)(#.*)?$", line) for line in text.splitlines())
    return [(match[1], match[3]) for match in found if match and match[3]]


def test_sections_are_the_whole_file():
    assert "\n".join(SECTIONS) == TEXT.rstrip()
    content = [yaml.safe_load(section) for section in SECTIONS]
    assert {
        name: value for part in content for name, value in (part or {}).items()
    } == yaml.safe_load(TEXT)


@pytest.mark.parametrize("section", SECTIONS[1:], ids=lambda text: text.partition(":")[0])
def test_key_can_be_set_and_no_other_changes(unchecked, params, section):
    params.write_text(section)
    content = yaml.safe_load(section)
    for number, key in enumerate(keys(content)):
        value = VALUES[number % len(VALUES)]
        expected = change(content, {key: copy.deepcopy(value)})
        assert yaml.safe_load(edited(params, {key: value})) == expected, key


@pytest.mark.parametrize("section", SECTIONS[1:], ids=lambda text: text.partition(":")[0])
def test_comments_survive_an_edit_of_every_key(unchecked, params, section):
    params.write_text(section)
    content = yaml.safe_load(section)
    every = list(keys(content))
    for number, key in enumerate(
        key for key in every if not any(k.startswith(f"{key}.") for k in every)
    ):
        value = [None, 3, "a: b", [1, "two"], {"b": [1]}][number % 5]
        edit(params, {key: value})
        content = change(content, {key: value})
        assert yaml.safe_load(params.read_text()) == content
        assert comments(params.read_text()) == comments(section), key


def test_dvc_writes_its_files_as_before(params):
    """A flow edits params.yaml and writes dvc.lock in one process."""
    edited(params, {"operate.notify": None})
    assert dumps_yaml({"nothing": None}) == "nothing:\n"


def test_section_and_key_may_have_one_name(unchecked, params):
    params.write_text("a:\n  a: 1\n")
    assert edited(params, {"a.a": 2}) == "a:\n  a: 2\n"


def test_whole_file_is_written_as_it_was(unchecked, params):
    assert edited(params, {}) == TEXT


def test_only_lines_of_edited_keys_change(params):
    """Keys that were left out are added."""
    edit(params, {"train.device": "cuda", "seed": 7, "promote.minimum": None})
    before, after = TEXT.splitlines(), params.read_text().splitlines()
    lost = [line for line in before if line not in after]
    new = [line for line in after if line not in before]
    train = "train: {epochs: 10, learning_rate: 0.005, device: cuda}"
    assert new == [train, "  minimum: null", "seed: 7"]
    assert [line.split(":")[0].strip() for line in lost[:2]] == ["train", "minimum"]
    inside = lost[2:]  # of the gate that is no more
    assert len(inside) > 3 and all(line.startswith("    ") for line in inside)


def test_option_of_a_kind_can_be_set(params):
    edit(params, {"ingest.source.images": 40})
    assert "\n  source: {kind: demo, images: 40}\n" in params.read_text()


def test_same_value_leaves_the_file_alone(params):
    before = params.stat()
    edit(params, {"train.epochs": shipped()["train"]["epochs"]})
    after = params.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train.epoch": 3}, "train.epoch: unknown key. Did you mean 'epochs'?"),
        ({"trian.epochs": 3}, "trian: unknown key. Did you mean 'train'?"),
        (
            {"train.epochs.more": 3},
            "train.epochs.more: epochs has no keys. Set it as a whole",
        ),
        ({"train.schedule.more": 3}, "train.schedule: found {'more': 3}. Valid here: cosine"),
        ({"train.epochs": "many"}, "train.epochs: input should be a valid integer, found 'many'"),
        ({"seed": 1, "train.device": "gpu"}, "train.device: found 'gpu'"),
    ],
    ids=str,
)
def test_mistake_is_explained_and_changes_nothing(params, values, message):
    with pytest.raises(InputError) as error:
        edit(params, values)
    assert message in str(error.value)
    assert params.read_text() == TEXT


def test_mistake_in_the_file_is_explained_first(params):
    params.write_text(TEXT.replace("epochs: 10", "epocs: 10"))
    with pytest.raises(InputError, match="train.epocs: unknown key. Did you mean 'epochs'?"):
        edit(params, {"train.epochs": 3})


def test_last_line_may_lack_its_end(params):
    params.write_text(TEXT.rstrip())
    assert yaml.safe_load(edited(params, {"operate.push": True}))["operate"]["push"] is True


def test_file_that_is_not_utf8_is_refused(params):
    params.write_bytes(TEXT.encode("utf-16"))
    with pytest.raises(InputError, match="params.yaml is not UTF-8"):
        edit(params, {"seed": 1})


def test_byte_order_mark_and_line_ends_of_windows_are_read(params):
    params.write_bytes(f"\ufeff{TEXT}".replace("\n", "\r\n").encode())
    edit(params, {"seed": 1})
    assert yaml.safe_load(params.read_bytes())["seed"] == 1


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="params.yaml is missing"):
        edit(tmp_path / "params.yaml", {"seed": 1})


def test_assignments_of_the_shell():
    words = ["train.epochs=3", "seed=0", "operate.notify=null", "promote.minimum={a=b: 0.5}"]
    assert parse_assignments(words) == {
        **{"train.epochs": 3, "seed": 0, "operate.notify": None},
        "promote.minimum": {"a=b": 0.5},
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train.epochs"], "train.epochs: expected KEY=VALUE, as train.epochs=3"),
        (["=3"], "=3: expected KEY=VALUE"),
        (["train.epochs=[1"], "train.epochs: the value is not YAML: "),
        (["train.epochs=2026-13-45"], "train.epochs: the value is not YAML: month must be"),
        (["seed=" + "[" * 1_000], "seed: the value is not YAML: "),
        (["seed=" + "[" * 10_000], "seed: the value has 10,000 characters, expected at most 2,000"),
        (["model={a: &a [1], b: *a}"], "model: the value refers to a part of itself. Spell it out"),
        (["seed=!!bool x"], "seed: the value is not YAML: "),
        (["model={a: 1, a: 2}"], "model: the value, line 1: the key 'a' is in line 1 already"),
        (["seed=1", " seed = 2"], "seed is set twice. Keep one of them"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_odd_assignment_is_refused(words, message):
    with pytest.raises(InputError, match=re.escape(message)):
        parse_assignments(words)


def test_blanks_around_key_and_value_do_not_count():
    assert parse_assignments([" train.epochs = 3 "]) == {"train.epochs": 3}
