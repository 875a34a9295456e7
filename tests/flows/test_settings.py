"""Settings of flows: schedules, gates, and rules over several sections."""

import pytest

from flows.settings import FlowSettings, flow_settings
from tests.support.params import ROOT, settings_problems, shipped, small_settings

GATES = [key for key in shipped()["promote"] if key.startswith(("minimum", "maximum"))]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("retrain", "0 25 * * *", "found '0 25 * * *' (bad hour), expected minute, hour, day of"),
        ("retrain", "0 0 30 2 *", "found '0 0 30 2 *' ("),
        ("evaluate", "@weekly", "found '@weekly' (wrong number of fields), expected minute, hour"),
        ("timezone", "Berlin", "found 'Berlin', expected a time zone's name as in Europe/Berlin"),
        ("drop", "../incoming", "found '../incoming', expected a folder in the project, as in in"),
        ("drop", "/incoming", "found '/incoming', expected a folder in the project, as in incom"),
        ("commit", "-f", "found '-f', expected the name of a Git branch, as in retrained"),
        ("notify", "me@example.org", "found 'me@example.org', expected type and name of a block"),
        ("fetch", "dvv", "found 'dvv'. Did you mean 'dvc'? Valid here: dvc, drop"),
        ("retries", 11, "input should be less than or equal to 10, found 11"),
        ("stage_hours", 0, "input should be greater than 0, found 0"),
        ("promote", "auto", "found 'auto'. Did you mean 'automatic'? Valid here: automatic, ask"),
        ("push", "yes", "input should be a valid boolean, found 'yes'"),
    ],
)
def test_wrong_value_of_operate_is_named(key, value, expected):
    (line,) = settings_problems(FlowSettings, {f"operate.{key}": value})
    assert line.startswith(f"operate.{key}: {expected}")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("alias", "challenger", "register.alias and promote.alias are both challenger, so that"),
        ("alias", "1st", "promote.alias: string should match pattern"),
        ("suite", "none", "promote: maximum_robustness_drop is set, but suite is none, so that"),
        (
            "suite",
            "ful",
            "promote.suite: found 'ful'. Did you mean 'full'? Valid here: none, quick",
        ),
        ("maximum_drop", None, "promote: require is better, but maximum_drop names no metric to"),
        ("maximum_drop", {}, "promote: require is better, but maximum_drop names no metric to be"),
        (
            "require",
            "best",
            "promote.require: found 'best'. Did you mean 'better'? Valid here: bet",
        ),
        ("confidence", 1.0, "promote.confidence: input should be less than 1, found 1.0"),
        ("confidence", 0.4, "promote.confidence: input should be greater than or equal to 0.5, f"),
        (
            "maximum_drop",
            {"accuracy/shape/image": -0.1},
            "promote.maximum_drop.accuracy/shape/image: input should be greater than or equal to 0",
        ),
        (
            "minimum",
            {"accuracy/anwser/image": 0.9},
            "promote refers to unknown tasks: 'anwser'. Did you mean 'answer'? Valid here: answer,",
        ),
        (
            "maximum_drop",
            {"accuracy": 0.9},
            "promote refers to unknown tasks: ''. Valid here: answer",
        ),
        (
            "minimum",
            {"accuracy/b/image": 0.9, "accuracy/a/image": 0.9, "slices/c/accent/us/image": 0.9},
            "promote refers to unknown tasks: 'a', 'b', 'c'. ",
        ),
        (
            "maximum_robustness_drop",
            {"image/size/image": 0.1},
            "promote refers to unknown tasks: 'size'. Valid here: answer",
        ),
        ("maximum_latency_ms", 0, "promote.maximum_latency_ms: input should be greater than 0, fo"),
    ],
    ids=str,
)
def test_wrong_gate_is_named(key, value, expected):
    (line,) = settings_problems(FlowSettings, {f"promote.{key}": value})
    assert line.startswith(expected)


def test_minimum_may_name_a_metric_alone():
    assert settings_problems(FlowSettings, {"promote.minimum": {"above_baseline": 0.02}}) == []


def test_every_gate_can_be_left_out():
    gates = {f"promote.{gate}": None for gate in GATES}
    changes = gates | {"promote.require": "not_worse", "promote.suite": "none"}
    promote = small_settings(FlowSettings, changes).promote
    assert promote.tasks_named == set()
    assert [getattr(promote, gate) for gate in GATES] == [None] * len(GATES)


@pytest.mark.parametrize("drop", ["source/new", "source"])
def test_drop_folder_is_apart_from_the_data(drop):
    (line,) = settings_problems(FlowSettings, {"operate.fetch": "drop", "operate.drop": drop})
    assert line.startswith(f"operate.drop ({drop}) and ingest.root (source) are inside each other")
    assert settings_problems(FlowSettings, {"operate.fetch": None, "operate.drop": drop}) == []


def test_data_inside_the_drop_folder_is_refused():
    changes = {"operate.fetch": "drop", "operate.drop": "new", "ingest.root": "new/source"}
    (line,) = settings_problems(FlowSettings, changes)
    assert line.startswith("operate.drop (new) and ingest.root (new/source) are inside each other")


def test_sections_of_flows_may_be_left_out():
    content = {
        name: value for name, value in shipped().items() if name not in ("operate", "promote")
    }
    settings = FlowSettings.model_validate(content)
    assert settings.operate.retrain is None and settings.promote.alias == "champion"


def test_shipped_settings_are_read_from_the_working_directory(monkeypatch):
    monkeypatch.chdir(ROOT)
    settings = flow_settings()
    assert settings.ingest.root == shipped()["ingest"]["root"]
    assert settings.promote.tasks_named == {"answer", "shape", "colour"}
