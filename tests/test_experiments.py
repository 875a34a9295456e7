"""The harness of docs/experiments.md: its rows, what they change, and that nothing else changes."""

from concurrent.futures import Future

import pytest

from benchmarks import experiments
from benchmarks.experiments import GROUPS, Outcome, Variant, changed, prepare, run, table, variants
from components.common.files import read_json
from components.fusion import FUSIONS
from tests.shrunk import small_example

SUBSETS = ["image", "audio", "image+audio"]


@pytest.fixture(scope="module")
def params() -> dict:
    return small_example("digits")


@pytest.fixture(scope="module")
def made(params, tmp_path_factory):
    """A folder in which the stages before training ran, and a model that is not to change."""
    folder = tmp_path_factory.mktemp("made")
    prepare(params, folder)
    (folder / "models/synesthesia").mkdir()
    (folder / "models/synesthesia/config.json").write_text("the model of an earlier run")
    return folder


@pytest.fixture
def ran(monkeypatch) -> list[str]:
    """The stages that run; in the place of train, the fusion of the model that it leaves."""
    seen = []
    run_stage = experiments.run_stage

    def noted(name, folder):
        run_stage(name, folder)
        config = folder / "models/synesthesia/config.json"
        seen.append(read_json(config)["model"]["fusion"] if name == "train" else name)

    monkeypatch.setattr(experiments, "run_stage", noted)
    return seen


def files(folder) -> dict[str, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_each_word_of_a_group_s_key_is_a_row():
    assert {variant.name for variant in variants("fusion")} == FUSIONS.keys()
    for group, key in GROUPS.items():
        rows = variants(group)
        assert len(rows) > 1
        assert all(row.changes == {key: row.name} for row in rows)


def test_a_key_that_is_not_there_is_an_error(params):
    with pytest.raises(KeyError, match="fusoin"):
        changed(params, {"model.fusoin": "concat"})
    assert changed(params, {"model.fusion": "concat"})["model"]["fusion"] == "concat"
    assert params["model"]["fusion"] != "concat"


def test_no_task_is_weighted_by_hand_where_tasks_are_what_is_compared(params):
    params = changed(params, {"tasks.digit.weight": 0.5})
    assert experiments.unweighted(params)["tasks"]["digit"]["weight"] == 1.0
    assert params["tasks"]["digit"]["weight"] == 0.5


def test_variants_train_what_they_name_and_leave_what_was_made(params, made, ran):
    before = files(made)
    for variant in variants("fusion")[:2]:
        (outcome,) = run(variant, [(params, made)], seconds=0.1)
        assert set(ran) == {variant.name}
        assert list(outcome.accuracy) == SUBSETS
        assert all(0 <= value <= 1 for value in outcome.accuracy.values())
        assert outcome.epochs >= 1 and outcome.rate > 0 and outcome.parameters > 0
        ran.clear()
    assert files(made) == before


def test_a_change_to_alignment_aligns_anew(params, made, ran):
    before = files(made)
    run(Variant("loss", "sigmoid", {"align.loss": "sigmoid"}), [(params, made)], seconds=0.1)
    assert ran[0] == "align" and ran.count("align") == 1 and len(ran) > 1
    assert files(made) == before


def test_more_time_is_more_epochs(params, made, monkeypatch):
    monkeypatch.setattr(experiments, "train", lambda folder, params, epochs: 2 + 0.5 * epochs)
    monkeypatch.setattr(experiments, "evaluate", lambda folder, *timing: timing)
    variant, seeds = variants("fusion")[0], [(params | {"seed": seed}, made) for seed in (0, 1)]
    assert run(variant, seeds, seconds=10.0) == [(0.5, 20)] * 2
    assert run(variant, seeds, seconds=0.1) == [(0.5, 1)] * 2


def test_a_table_has_a_row_a_variant_with_mean_and_range():
    def done(*accuracies: float) -> Future:
        future = Future()
        found = [{"image": accuracy, "audio": 0.5} for accuracy in accuracies]
        future.set_result([Outcome(accuracy, 1234, 2000.0, 7) for accuracy in found])
        return future

    one, other = (Variant("fusion", name, {}) for name in ("concat", "late"))
    lines = list(table([(one, done(0.7, 0.8)), (other, done(1.0))]))
    assert lines == [
        "| fusion | image | audio | parameters | samples/s | epochs |",
        "|---|---|---|---|---|---|",
        "| concat | 75.0 (70.0–80.0) | 50.0 (50.0–50.0) | 1,234 | 2,000 | 7 |",
        "| late | 100.0 (100.0–100.0) | 50.0 (50.0–50.0) | 1,234 | 2,000 | 7 |",
    ]
