"""The exam asks any model about the same raw media, in the model's own way."""

import json
import shutil
import sys

import pandas as pd
import pytest
import torch
from components.modalities.registry import MODALITIES

from components.common.hashing import content_id
from components.data.assets import AssetTensors
from components.data.shards import Asset, MediaWriter
from components.data.tables import PREDICTIONS, ROBUSTNESS, SAMPLES, SHARES, read_table, write_table
from components.evaluate.compare import of_metric, quotient
from components.evaluate.evaluation import ANSWERS, EXAM, PARTS, SPOILT, STAGE, units, work
from components.evaluate.measure import metrics
from components.evaluate.predict import predict
from components.evaluate.robustness import QUICK
from components.modalities.text.processing import train_tokenizer
from components.model.folder import load_model, save_model
from components.model.predictor import Predictor
from components.tasks.multilabel.labels import ClassSetLabels
from tests.model.worlds import (
    EVERY_TASK,
    ids_of,
    label_every_task,
    make_model,
    make_table,
)
from tests.shrunk import (
    assert_refused,
    png,
    run_python,
    small_params,
    small_settings,
    wav,
    write_params,
)

STAGE_MODULE = "components.evaluate.evaluation"
ASSETS = 10
MEDIA = {
    "image": [png(n) for n in range(ASSETS)],
    "text": [f"is number {n} red?".encode() for n in range(ASSETS)],
    "audio": [wav(n) for n in range(ASSETS)],
}


def save(folder, model) -> None:
    tokenizer = train_tokenizer(["is it red?"], small_settings().preprocess.text)
    save_model(folder, model, tokenizer.to_str())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Samples, media, settings and a model."""
    here = tmp_path_factory.mktemp("exam")
    table = label_every_task(make_table(60, ASSETS), ASSETS).assign(place=["hill", "sea"] * 30)
    for m, contents in MEDIA.items():
        writer = MediaWriter(here / "media" / m)
        for content in contents:
            writer.add(Asset(content_id(content), content))
        writer.close()
        real = dict(zip(ids_of(m, ASSETS), map(content_id, contents), strict=True))
        table[f"{m}_id"] = table[f"{m}_id"].map(real)
    write_table(here / "samples", table, SAMPLES)
    tasks = {
        name: task.model_dump(mode="json", exclude_none=True) for name, task in EVERY_TASK.items()
    }
    params = small_params({"tasks": tasks, "ingest.slices": ["place"]})
    write_params(here / "params.yaml", params)
    save(here / "model", make_model(every=True))
    return here


def words(world, model: str = "model", suite: str = "none") -> list[str]:
    """The command line."""
    pairs = {"params": "params.yaml", "model": model, "samples": "samples", "media": "media"}
    options = [w for name, value in pairs.items() for w in (f"--{name}", str(world / value))]
    return [*options, "--suite", suite, "--exam", str(world / f"exam-{model}-{suite}")]


def examine(world, model: str = "model", suite: str = "none"):
    """The folder of an exam that was run in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["exam", *words(world, model, suite)])
        STAGE.run(work)
    return world / f"exam-{model}-{suite}"


@pytest.fixture(scope="module")
def done(world):
    return examine(world)


@pytest.fixture(scope="module")
def result(done):
    return json.loads((done / EXAM).read_text())


def test_the_answers_are_those_of_the_evaluate_stage_on_the_same_tensors(world, done):
    predictor = Predictor(world / "model")
    samples = read_table(world / "samples", SAMPLES)
    test = samples[samples["split"] == "test"]
    assets = {}
    for m, contents in MEDIA.items():
        tensors = {k: torch.as_tensor(v) for k, v in predictor.processors[m](contents).items()}
        assets[m] = AssetTensors(tuple(map(content_id, contents)), tensors)
    expected = predict(predictor.model, test, assets, EVERY_TASK).reset_index(drop=True)
    found = read_table(done / ANSWERS, PREDICTIONS)
    numbers = found["task"] == "size"  # the tensors that are encoded together are not the same ones
    pd.testing.assert_frame_equal(found[~numbers], expected[~numbers], check_exact=False)
    assert found["prediction"][numbers].astype(float).tolist() == pytest.approx(
        expected["prediction"][numbers].astype(float).tolist(), rel=1e-5
    )


def test_it_holds_metrics_slices_costs_and_what_the_model_is_compared_by(world, done, result):
    kinds = load_model(world / "model")[0].kinds
    assert result["metrics"] == metrics(read_table(done / ANSWERS, PREDICTIONS), kinds)
    assert set(result["slices"]["tags"]["place"]) == {"hill", "sea"}
    assert result["compared"] == {
        "answer": "accuracy",
        "tags": "f1",
        "size": "mean_absolute_error",
        "reply": "vqa_accuracy",
        "caption": "rouge_l",
    }
    files = (world / "model").iterdir()
    assert result["size_bytes"] == sum(file.stat().st_size for file in files)
    assert result["parameters"] == sum(p.numel() for p in make_model(every=True).parameters())
    for found in (result["latency"]["single"], result["latency"]["batch"]):
        assert 0 < found["median_ms"] <= found["p95_ms"]
    assert result["latency"]["threads"] == 1 and result["robustness"] == {}


def test_the_shares_of_units_make_up_the_metric_of_every_kind(done, result):
    shares = read_table(done / PARTS, SHARES)
    for task, metric in result["compared"].items():
        for subset, value in result["metrics"][metric][task].items():
            rows = of_metric(shares, result["compared"], f"{metric}/{task}/{subset}")
            assert rows["unit"].is_unique
            whole = quotient(rows["part"].sum(), rows["whole"].sum())
            assert float(whole) == pytest.approx(value)


def test_units_are_groups_or_what_gets_the_same_answer():
    table = pd.DataFrame(
        {
            "sample_id": ["1", "2", "3"],
            "image_id": ["i", "i", None],
            "text_id": ["s", "t", "t"],
            "audio_id": [None, None, None],
            "speaker": ["ann", None, "bob"],
        }
    )
    assert units(table, "image+text", "image").tolist()[:2] == ["i", "i"]
    assert units(table, "text", "image").tolist() == ["s", "t", "t"]
    assert units(table, "image+text", "text").tolist() == ["s", "t", "t"]
    assert units(table, "image+text", "speaker").tolist() == ["ann", "i+t", "bob"]
    assert units(table, "image+text", "unknown").tolist()[:2] == ["i+s", "i+t"]


def test_an_exam_is_run_again_only_if_something_of_it_changed(world, done):
    before = (done / EXAM).stat().st_mtime_ns
    assert examine(world) == done
    assert (done / EXAM).stat().st_mtime_ns == before
    other = world / "changed"
    shutil.copytree(world, other)
    samples = read_table(other / "samples", SAMPLES)
    write_table(other / "samples", samples.iloc[:-3], SAMPLES)
    again = examine(other)
    assert again == other / done.name
    counts = [len(read_table(folder / ANSWERS, PREDICTIONS)) for folder in (again, done)]
    assert counts[0] < counts[1]


def test_a_model_made_in_another_way_is_asked_in_its_own(world):
    """With other sizes, fewer modalities and tasks, and a vocabulary that lacks new labels."""
    model = make_model(
        every=True,
        learnt=("image", "text"),
        **{"preprocess.image.size": 64, "preprocess.text.max_tokens": 5},
    )
    config = model.config.model_dump(mode="json")
    del config["tasks"]["caption"]
    config["tasks"]["answer"]["vocabulary"]["classes"] = ["a", "b"]
    config["tasks"]["tags"]["vocabulary"]["classes"] = ["cat", "yak"]
    config["tasks"]["reply"]["kind"] = "classification"
    config = type(model.config).model_validate(config, strict=False)
    save(world / "other", type(model)(config).eval())
    found = examine(world, "other")
    result = json.loads((found / EXAM).read_text())
    assert set(result["compared"]) == {"answer", "tags", "size"}
    rows = read_table(found / ANSWERS, PREDICTIONS)
    assert set(rows["subset"]) == {"image", "text", "image+text"}
    answers = rows[rows["task"] == "answer"]
    unheard = answers[answers["target"] == "c"]
    assert len(unheard) and not (unheard["prediction"] == "c").any()
    expected = (answers["target"] == answers["prediction"]).groupby(answers["subset"]).mean()
    assert result["metrics"]["accuracy"]["answer"] == expected.to_dict()


def test_classes_that_a_model_never_knew_count_as_missed():
    labels = ClassSetLabels(("cat", "yak"))
    rows = pd.DataFrame(
        {"target": ['["cat"]', '["cat", "emu"]'], "prediction": ["[0.9, 0.1]", "[0.8, 0.7]"]}
    )
    assert labels.metrics(rows)["f1"] == pytest.approx(2 * 2 / (3 + 3))
    assert set(labels.average_precisions(rows)) == {"cat", "emu"}
    assert labels.wrong(rows).tolist() == [False, True]
    known = rows.assign(target=['["cat"]', '["cat", "yak"]'])
    assert labels.metrics(known) == {"f1": 1.0, "mean_average_precision": 1.0}


def test_it_says_how_much_worse_a_model_gets_under_each_corruption(world):
    found = examine(world, suite="quick")
    rows = read_table(found / SPOILT, ROBUSTNESS)
    assert set(rows["corruption"]) == set(QUICK) and set(rows["severity"]) == {3}
    result = json.loads((found / EXAM).read_text())
    assert list(result["robustness"]) == [*MODALITIES, "missing"]
    assert set(result["robustness"]["missing"]["answer"]) == {"everything"}


def test_an_asset_that_is_missing_is_named(world, tmp_path):
    shutil.copytree(world, tmp_path / "world")
    writer = MediaWriter(tmp_path / "world/media/text")
    for content in MEDIA["text"][:2]:
        writer.add(Asset(content_id(content), content))
    writer.close()
    process = run_python("-m", STAGE_MODULE, *words(tmp_path / "world"), cwd=tmp_path)
    assert_refused(process, "media/text lacks ")


def test_an_unknown_suite_is_the_user_s_mistake(world, tmp_path):
    process = run_python("-m", STAGE_MODULE, *words(world, suite="ful"), cwd=tmp_path)
    assert_refused(process, "invalid choice: 'ful'")
