"""Settings: files are read and checked, and every problem is named with its key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from components.common.errors import InputError
from components.preprocess.settings import settings_for as preprocess_settings
from components.stage.settings import (
    Count,
    OneOf,
    Section,
    Settings,
    keys_of,
    load_settings,
    load_yaml,
    matching,
    parse_yaml,
    problems,
)
from tests.support.params import ROOT, small_settings

PATH = Path("params.yaml")


class Loud(Section):
    kind: Literal["loud"] = "loud"
    volume: Count = 1


class Quiet(Section):
    kind: Literal["quiet"] = "quiet"


VOICES = {"loud": Loud, "quiet": Quiet}
Word = Annotated[str, matching(r"\w+", "a word")]


class Train(Section):
    epochs: Count
    voice: Annotated[Section, OneOf(VOICES)]
    voices: Annotated[Mapping[str, Annotated[Section, OneOf(VOICES, default="loud")]], Field()] = {}
    words: Annotated[tuple[Word, ...], Field(min_length=1, strict=False)] = ("a",)
    stop: Loud | None = None


class Slices(Settings):
    slices: tuple[str, ...] = ()


class StageSettings(Settings):
    seed: Count
    train: Train
    ingest: Slices = Slices()
    register_: Quiet = Field(alias="register", default=Quiet())


VALID = {"seed": 1, "train": {"epochs": 3, "voice": "quiet"}}


def complaints(**train) -> list[str]:
    return list(problems(VALID | {"train": VALID["train"] | train}, StageSettings))


def test_stage_sees_only_its_sections():
    settings = small_settings(preprocess_settings("image"))
    assert settings.preprocess.image.size == 32
    assert set(settings.model_dump()) == {"workers", "preprocess", "features"}
    assert set(settings.preprocess.model_dump()) == {"image"}
    assert set(settings.features.image.model_dump()) == {"encoder"}
    for hidden in ("seed", "train", "register_"):
        assert not hasattr(settings, hidden)


def test_other_sections_are_ignored():
    others = {"ingest": {"source": 7}, "nonsense": [1], "register": {}}
    assert list(problems(VALID | others, StageSettings)) == []


def test_keys_of_sections_and_of_parts():
    assert list(keys_of(StageSettings)) == ["seed", "train", "ingest.slices", "register"]


def test_settings_are_frozen():
    settings = StageSettings.model_validate(VALID)
    with pytest.raises(ValueError, match="frozen"):
        settings.train.epochs = 1


def test_dump_has_plain_values_and_names_of_the_file():
    dumped = StageSettings.model_validate(VALID).model_dump(mode="json", by_alias=True)
    assert dumped["register"] == {"kind": "quiet"} and dumped["ingest"] == {"slices": []}


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ({"epochs": "3"}, "train.epochs: input should be a valid integer, found '3'"),
        ({"epochs": True}, "train.epochs: input should be a valid integer, found True"),
        ({"epochs": 0}, "train.epochs: input should be greater than or equal to 1, found 0"),
        (
            {"epoch": 1},
            "train.epoch: unknown key. Did you mean 'epochs'? Valid here: epochs, voice",
        ),
        ({"zzz": 1}, "train.zzz: unknown key. Valid here: epochs, voice, voices, words, stop"),
        ({"words": ["a b"]}, "train.words.0: found 'a b', expected a word"),
        ({"words": "ab"}, "train.words: input should be a valid tuple, found 'ab'"),
        ({"words": []}, "train.words: tuple should have at least 1 item after validation"),
        ({"voice": "lowd"}, "train.voice: found 'lowd'. Did you mean 'loud'? Valid here: loud, q"),
        ({"voice": {"kind": "lowd"}}, "train.voice: found 'lowd'. Did you mean 'loud'? Valid"),
        ({"voice": {"kind": ["loud"]}}, "train.voice: found \"['loud']\". Did you mean 'loud'?"),
        ({"voice": {"volume": 3}}, "train.voice.kind: the key is missing"),
        ({"voice": 7}, "train.voice: found 7, expected loud, quiet, or a mapping with kind and op"),
        ({"voice": None}, "train.voice: found None, expected loud, quiet, or a mapping with kind"),
        ({"voice": {"kind": "loud", "volum": 3}}, "train.voice.volum: unknown key. Did you mean '"),
        ({"voice": {"kind": "quiet", "volume": 3}}, "train.voice.volume: unknown key. Valid here"),
        ({"voice": {"kind": "loud", "volume": 0}}, "train.voice.volume: input should be greater"),
        ({"voices": {"a": {"volum": 3}}}, "train.voices.a.volum: unknown key. Did you mean 'volum"),
        ({"voices": {3: "loud"}}, "train.voices.3: input should be a valid string, found 3"),
        ({"voices": "loud"}, "train.voices: found 'loud', expected a mapping"),
        ({"stop": {"volum": 3}}, "train.stop.volum: unknown key. Did you mean 'volume'?"),
        ({"stop": 3}, "train.stop: found 3, expected a mapping"),
    ],
    ids=str,
)
def test_problem_is_named_with_its_key(train, expected):
    (line,) = complaints(**train)
    assert line.startswith(expected)


def test_choice_is_a_word_or_a_mapping():
    train = {"voice": "loud", "voices": {"a": {"volume": 3}, "b": {"kind": "quiet"}, "c": {}}}
    settings = StageSettings.model_validate({"seed": 1, "train": {"epochs": 1, **train}})
    assert settings.train.voice == Loud()
    assert settings.train.voices == {"a": Loud(volume=3), "b": Quiet(), "c": Loud()}


def test_every_problem_is_named():
    content = {"train": {"epochs": 0, "vioce": "loud", "words": ["", "a", "b c"]}}
    lines = list(problems(content, StageSettings))
    assert [line.split(":")[0] for line in lines] == [
        *("seed", "train.epochs", "train.voice", "train.words.0", "train.words.2", "train.vioce")
    ]


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load settings from a file with some content."""
    monkeypatch.chdir(tmp_path)

    def load(content: str) -> StageSettings:
        PATH.write_text(content)
        return load_settings(PATH, StageSettings)

    return load


def test_message_names_the_file(load):
    with pytest.raises(InputError) as error:
        load("seed: 0\ntrain: 7")
    assert str(error.value).splitlines() == [
        "params.yaml cannot be used:",
        "  seed: input should be greater than or equal to 1, found 0",
        "  train: found 7, expected a mapping",
    ]


@pytest.mark.parametrize("content", ["7", "[seed]"])
def test_file_without_mapping_is_refused(load, content):
    with pytest.raises(InputError, match="the file: found .*, expected a mapping"):
        load(content)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="none.yaml is missing. Name another file with --params"):
        load_settings(tmp_path / "none.yaml", StageSettings)


def test_broken_yaml_is_refused_with_its_line(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: [0")
    with pytest.raises(InputError, match=r"(?s)params\.yaml is not YAML: .*line 1"):
        load_settings(tmp_path / "params.yaml", StageSettings)


@pytest.mark.parametrize(
    "value",
    [
        *("2001-99-99", "!!timestamp x", "!!int x", "!!float x", "!!bool x", "!!binary x"),
        *("!!python/name:os.system", "!other x", "\t- a", "\0", "\ud800", "[" * 5000),
    ],
    ids=ascii,
)
def test_value_that_is_not_yaml_is_refused(value):
    with pytest.raises(InputError, match="^x is not YAML: "):
        load_yaml(f"seed: {value}", "x")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-32"])
def test_other_encoding_is_refused(encoding):
    with pytest.raises(InputError, match="^params.yaml is not UTF-8: .* Save it as UTF-8$"):
        parse_yaml("seed: é".encode(encoding), PATH)


@pytest.mark.parametrize("text", ["\ufeffseed: 1", "seed: 1\r\n", "\ufeffseed: 1\r"], ids=ascii)
def test_what_editors_write_around_yaml_is_read(text):
    assert parse_yaml(text.encode(), PATH) == {"seed": 1}


def grown(first: str, again: str) -> str:
    """Return a mapping, each value of which refers ten times to the one before."""
    values = [f"  x{i}: &x{i} {again.format(', '.join([f'*x{i - 1}'] * 10))}" for i in range(1, 9)]
    return "\n".join(["tasks:", f"  x0: &x0 {first}", *values])


@pytest.mark.parametrize(
    "text",
    [grown("[1]", "[{}]"), grown("{a: 1}", "{{<<: [{}]}}"), "tasks: &t {a: *t}", "&t [*t]"],
    ids=["list", "merged", "mapping in itself", "list in itself"],
)
def test_anchors_that_stand_for_too_much_are_refused(text):
    with pytest.raises(InputError, match="refers to itself, or stands for more than 100,000"):
        load_yaml(text, "x")


@pytest.mark.parametrize(
    ("text", "key", "line", "before"),
    [
        ("seed: 0\nseed: 1", "seed", 2, 1),
        ("a: {b: 1, c: 2, 'b': 1}", "b", 1, 1),
        ("a:\n  - b: 1\n    c: 2\n    b: 3", "b", 4, 2),
        ("a: &x {b: 1}\nd: {<<: *x, b: 2, b: 3}", "b", 2, 2),
    ],
)
def test_duplicate_key_is_named_with_its_lines(load, text, key, line, before):
    with pytest.raises(InputError) as error:
        load(text)
    message = f"{PATH}, line {line}: the key {key!r} is in line {before} already. Keep one of them"
    assert str(error.value) == message


@pytest.mark.parametrize("text", ["seed: 0", "a: {b: 1}", "a: &x {b: 1}\nd: {<<: *x, c: 2}"])
def test_single_key_is_no_duplicate(load, text):
    with pytest.raises(InputError) as error:
        load(text)
    assert "already" not in str(error.value)


def test_merged_mapping_may_be_overridden(load):
    text = "seed: &n 1\ntrain:\n  epochs: 1\n  voice: &v {kind: loud, volume: 3}\n"
    text += "  voices: {a: {<<: *v, volume: 5}}"
    settings = load(text)
    assert settings.train.voices == {"a": Loud(volume=5)}


def test_stage_loads_its_part_of_the_shipped_file():
    settings = load_settings(ROOT / "params.yaml", preprocess_settings("audio"))
    assert settings.preprocess.audio.sample_rate == 22050
