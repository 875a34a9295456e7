"""Evaluation of any model on the same raw media, with the model's own processors."""

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from components.common.hashing import content_id
from components.data.assets import AssetTensors
from components.data.samples import asset_column, read_samples, samples_schema
from components.data.shards import Asset, MediaWriter
from components.data.tables import read_table, write_table
from components.evaluate.comparison.compare import contributions_to
from components.evaluate.evaluation import latency
from components.evaluate.evaluation.__main__ import STAGE
from components.evaluate.evaluation.results import PREDICTED, RESULTS, Evaluation
from components.evaluate.evaluation.test_set import (
    CorruptedPredictions,
    EncodedAssets,
    TestSet,
    encode_assets,
    predict_test_set,
)
from components.evaluate.measure import by_task, metrics_by_task, most_modalities
from components.evaluate.predict import predict
from components.evaluate.robustness.corruptions import CORRUPTIONS, SUITES
from components.modalities.registry import MODALITIES
from components.model.config import ModelConfig
from components.model.folder import load_model, save_model
from components.model.multimodal import MultimodalModel
from components.model.predictor import Predictor
from components.tasks.baseline import BASELINES
from components.tasks.metrics import PREDICTIONS, quotient
from tests.support.media import png, wav
from tests.support.params import small_params, write_params
from tests.support.process import run_python
from tests.support.tiny_model import (
    EVERY_TASK,
    ids_of,
    label_every_task,
    make_model,
    make_processors,
    make_table,
)

ASSETS, ROWS = 10, 36
MEDIA = {
    "image": [png(n) for n in range(ASSETS)],
    "text": [f"is number {n} red?".encode() for n in range(ASSETS)],
    "audio": [wav(n) for n in range(ASSETS)],
    "tabular": [f'{{"age": "{n / 4}", "breed": "tabby"}}'.encode() for n in range(ASSETS)],
}


@pytest.fixture(scope="module", autouse=True)
def measured_once() -> Iterator[None]:
    """Latency takes the most time, and has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "REPEATS", 1)
        patch.setattr(latency, "BATCHES", 1)
        yield


def write_media(folder: Path, contents: list[bytes]) -> None:
    """Write the media shard set of a modality."""
    writer = MediaWriter(folder)
    for content in contents:
        writer.add(Asset(content_id(content), content))
    writer.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """Samples, media, settings and a model."""
    folder = tmp_path_factory.mktemp("world")
    table = label_every_task(make_table(ROWS, ASSETS), ASSETS).assign(
        place=["hill", "sea"] * (ROWS // 2)
    )
    rows = ids_of("tabular", ASSETS)
    table["tabular_id"] = [rows[n % ASSETS] if n % 4 else None for n in range(ROWS)]
    for m, contents in MEDIA.items():
        write_media(folder / "media" / m, contents)
        real = dict(zip(ids_of(m, ASSETS), map(content_id, contents), strict=True))
        table[asset_column(m)] = table[asset_column(m)].map(real)
    write_table(folder / "samples", table, samples_schema(MODALITIES))
    tasks = {name: task.model_dump(mode="json") for name, task in EVERY_TASK.items()}
    params = small_params({"tasks": tasks, "ingest.slices": ["place"]})
    write_params(folder / "params", params)
    model = make_model(every=True, modalities=MODALITIES)
    save_model(folder / "model", model, make_processors(MODALITIES))
    return folder


def evaluate(world: Path, model: str = "model", suite: str = "none", **more: Path) -> Evaluation:
    """Evaluate a model of the world with the command line, which may have more options."""
    found = Evaluation(world / "-".join(["evaluation", model, suite, *more]))
    paths = {name: world / name for name in ("params", "samples", "media")}
    options = paths | more | {"model": world / model, "evaluation": found.folder, "suite": suite}
    STAGE.main([word for name, value in options.items() for word in (f"--{name}", str(value))])
    return found


@pytest.fixture(scope="module")
def evaluation(world) -> Evaluation:
    return evaluate(world)


def predictions_of(evaluation: Evaluation) -> pd.DataFrame:
    return read_table(evaluation.folder / PREDICTED, PREDICTIONS)


@pytest.mark.slow
def test_predictions_equal_those_of_the_evaluate_stage(world, evaluation):
    predictor = Predictor(world / "model")
    samples = read_samples(world / "samples", MODALITIES)
    test = samples[samples["split"] == "test"]
    assets = {}
    for m, contents in MEDIA.items():
        tensors = {k: torch.as_tensor(v) for k, v in predictor.processor(m)(contents).items()}
        assets[m] = AssetTensors(tuple(map(content_id, contents)), tensors)
    expected = predict(predictor.model, test, assets, EVERY_TASK).reset_index(drop=True)
    found = predictions_of(evaluation)
    numbers = found["task"] == "size"  # of tensors that were encoded in other batches
    pd.testing.assert_frame_equal(found[~numbers], expected[~numbers], check_exact=False)
    assert found["prediction"][numbers].astype(float).tolist() == pytest.approx(
        expected["prediction"][numbers].astype(float).tolist(), rel=1e-5
    )


def test_figures_have_every_metric_and_its_definition(world, evaluation):
    figures = evaluation.figures
    expected = by_task(predictions_of(evaluation), metrics_by_task(load_model(world / "model")))
    assert {name: figures.content[name] for name in expected} == expected
    assert set(figures.content["slices"]["tags"]["place"]) == {"hill", "sea"}
    assert {task: figures.primary(task).name for task in EVERY_TASK} == {
        **{"answer": "accuracy", "tags": "f1", "size": "mean_absolute_error"},
        **{"reply": "vqa_accuracy", "caption": "rouge_l"},
    }


def test_costs_of_the_model(world, evaluation):
    content = evaluation.content
    files = [path for path in (world / "model").rglob("*") if path.is_file()]
    assert content["size_bytes"] == sum(file.stat().st_size for file in files)
    model = make_model(every=True, modalities=MODALITIES)
    assert content["parameters"] == sum(p.numel() for p in model.parameters())
    for found in (content["latency"]["single"], content["latency"]["batch"]):
        assert 0 < found["median_ms"] <= found["p95_ms"]
    assert content["latency"]["threads"] == 1 and content["robustness"] == {}


@pytest.mark.parametrize("task", EVERY_TASK)
def test_contributions_make_up_the_primary_metric(evaluation, task):
    metric = evaluation.figures.primary(task).name
    for subset, value in evaluation.figures.content[metric][task].items():
        rows = contributions_to(f"{metric}/{task}/{subset}", evaluation)
        assert rows["cluster"].is_unique
        total = quotient(rows["numerator"].sum(), rows["denominator"].sum())
        assert float(total) == pytest.approx(value)


def test_evaluation_runs_again_only_after_a_change(world, evaluation, tmp_path):
    results = evaluation.folder / RESULTS
    before = results.stat().st_mtime_ns
    assert evaluate(world) == evaluation
    assert results.stat().st_mtime_ns == before
    shutil.copytree(world, tmp_path / "changed")
    samples = read_samples(world / "samples", MODALITIES)
    write_table(tmp_path / "changed/samples", samples.iloc[:-3], samples_schema(MODALITIES))
    again = evaluate(tmp_path / "changed")
    assert len(predictions_of(again)) < len(predictions_of(evaluation))
    assert again.content["fingerprint"] != evaluation.content["fingerprint"]


def test_no_torch_is_loaded_to_see_that_results_are_up_to_date(tmp_path):
    """As for the champion, whenever a challenger is judged."""
    code = "import sys, components.evaluate.evaluation.__main__; sys.exit('torch' in sys.modules)"
    process = run_python("-c", code, cwd=tmp_path)
    assert process.returncode == 0, process.stderr


def test_other_models_are_evaluated_with_their_own_settings(world):
    """Other sizes, fewer modalities and tasks, and a vocabulary without new labels."""
    sizes = {"preprocess.image.size": 64, "preprocess.text.max_tokens": 5}
    model = make_model(every=True, modalities=("image", "text"), **sizes)
    config = model.config.model_dump(mode="json")
    del config["tasks"]["caption"]
    config["tasks"]["answer"]["vocabulary"]["classes"] = ["a", "b"]
    config["tasks"]["tags"]["vocabulary"]["classes"] = ["cat", "yak"]
    config["tasks"]["reply"]["kind"] = "classification"
    changed = MultimodalModel(ModelConfig.model_validate(config, strict=False)).eval()
    states = make_processors(("image", "text"))
    states["image"]["size"], states["text"]["max_tokens"] = 64, 5
    save_model(world / "other", changed, states)
    found = evaluate(world, "other")
    rows = predictions_of(found)
    assert set(rows["task"]) == {"answer", "tags", "size"}
    assert set(rows["subset"]) == {"image", "text", "image-text"}
    answers = rows[rows["task"] == "answer"]
    unknown = answers[answers["target"] == "c"]
    assert len(unknown) and not (unknown["prediction"] == "c").any()
    expected = (answers["target"] == answers["prediction"]).groupby(answers["subset"]).mean()
    assert found.figures.content["accuracy"]["answer"] == expected.to_dict()


@pytest.mark.slow
def test_every_corruption_has_its_figures(world):
    found = evaluate(world, suite="quick")
    rows = found.robustness
    assert {*zip(rows["corruption"], rows["severity"], strict=True)} == set(SUITES["quick"])
    assert list(found.content["robustness"]) == [*MODALITIES, "missing"]
    assert set(found.content["robustness"]["missing"]["answer"]) == {"everything"}


def test_model_is_compared_with_baselines(world, evaluation):
    """So that gates can ask for more than the strongest of them has."""
    samples = read_samples(world / "samples", MODALITIES)
    rows = samples.loc[samples["split"] == "test", ["sample_id", "split"]]
    wrong = rows.assign(task="answer", baseline="majority", numerator=0.0, denominator=1.0)
    write_table(world / "baselines", wrong, BASELINES)
    found = evaluate(world, suite="none", baselines=world / "baselines")
    figures = found.figures.content
    assert figures["above_baseline"] == {"answer": figures["accuracy"]["answer"]}
    assert figures["baselines"] == {"answer": {"majority": 0.0}}
    assert found.content["fingerprint"] != evaluation.content["fingerprint"]


@pytest.fixture(scope="module")
def predicted(world) -> tuple[Predictor, TestSet, dict[str, EncodedAssets], pd.DataFrame]:
    """The model and its test set: encoded, and with what is predicted of clean assets."""
    predictor = Predictor(world / "model")
    samples = read_samples(world / "samples", MODALITIES)
    table = samples[samples["split"] == "test"]
    test_set = TestSet(table, world / "media", EVERY_TASK, "image")
    with torch.no_grad():
        encoded = {m: encode_assets(predictor, m, test_set) for m in MODALITIES}
        clean = predict_test_set(predictor.model, test_set, encoded)
    return predictor, test_set, encoded, clean


@torch.no_grad()
@pytest.mark.parametrize("name", ["jpeg", "typos", "fast", "missing_cells", "missing_text"])
def test_only_what_a_corruption_changes_is_predicted_again(predicted, name):
    """With the results of predicting everything again."""
    (predictor, test_set, encoded, clean), m = predicted, CORRUPTIONS[name].modality
    corrupt = partial(CORRUPTIONS[name], 3)
    found = CorruptedPredictions(predictor, test_set, encoded, clean)(m, corrupt)

    changed = {content_id(c): corrupt(content_id(c), c) for c in MEDIA[m]}
    left = {asset: content for asset, content in changed.items() if content is not None}
    assert name != "missing_text" or 0 < len(left) < len(changed)
    tensors = predictor.processor(m)(left.values())
    features = predictor.model.encoder(m)(**{k: torch.as_tensor(v) for k, v in tensors.items()})
    again = {**encoded, m: EncodedAssets(tuple(left), features)}
    expected = predict_test_set(predictor.model, test_set, again)
    for select in (pd.DataFrame, most_modalities):
        assert_same_predictions(select(found), select(expected))


def assert_same_predictions(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Assert equal predictions in any order; batches of other samples round numbers differently."""
    key = ["task", "subset", "sample_id"]
    found, expected = (table.sort_values(key).set_index(key) for table in (found, expected))
    assert found.index.equals(expected.index)
    numbers = found.index.get_level_values("task").isin(["size", "tags"])
    assert found["prediction"][~numbers].tolist() == expected["prediction"][~numbers].tolist()
    for one, other in zip(*(t["prediction"][numbers] for t in (found, expected)), strict=True):
        assert json.loads(one) == pytest.approx(json.loads(other), abs=1e-4)


def test_missing_asset_is_named(world, tmp_path, capsys):
    shutil.copytree(world, tmp_path / "world")
    write_media(tmp_path / "world/media/text", MEDIA["text"][:2])
    with pytest.raises(SystemExit, match="2"):
        evaluate(tmp_path / "world")
    assert "media/text lacks " in capsys.readouterr().err


def test_unknown_suite_is_refused(world, capsys):
    with pytest.raises(SystemExit, match="2"):
        evaluate(world, suite="ful")
    assert "invalid choice: 'ful'" in capsys.readouterr().err
