"""From media to metrics where a modality is in no sample, or in none of a split."""

import json
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from components.common.errors import InputError
from components.common.files import write_json
from components.common.hashing import content_id
from components.data.samples import asset_column, samples_schema
from components.data.shards import Asset, MediaWriter, read_index
from components.data.tables import read_table, write_table
from components.modalities.registry import MODALITIES
from components.model.predictor import Predictor
from components.training.tables import HISTORY
from tests.support.media import png, wav
from tests.support.params import small_params, write_params
from tests.support.stages import STAGES, run_by_hand

COUNT = 24
SPLITS = ("train", "train", "validation", "test")
AFTER_INGEST = [name for name in STAGES if name not in ("ingest", "register")]
TASKS = {"type": {"column": "kind"}}
FOUR_EPOCHS = {f"features.{m}.epochs": 4 for m in MODALITIES}


def media(number: int) -> dict[str, bytes]:
    """Return an asset of each modality that no other number has."""
    return {
        "image": png(number),
        "text": f"picture number {number}".encode(),
        "audio": wav(number),
        "tabular": f'{{"age": "{number}", "breed": "tabby"}}'.encode(),
    }


def write_ingested(folder: Path, present: dict[str, tuple[str, ...]], **changes) -> None:
    """Write what ingest leaves of samples that have each modality only in given splits."""
    writers = {m: MediaWriter(folder / "data/media" / m) for m in MODALITIES}
    rows = []
    for number in range(COUNT):
        split = SPLITS[number % len(SPLITS)]
        row = {"sample_id": str(number), "split": split, "kind": "ab"[number // 4 % 2]}
        for m, content in media(number).items():
            here = split in present.get(m, ())
            row[asset_column(m)] = content_id(content) if here else None
            if here:
                writers[m].add(Asset(content_id(content), content))
        rows.append(row)
    for writer in writers.values():
        writer.close()
    table = pd.DataFrame(rows, dtype="str")
    write_table(folder / "data/samples.parquet", table, samples_schema(MODALITIES))
    write_json(folder / "data/vocabulary.json", {"type": {"classes": ["a", "b"]}})
    changes = {"tasks": TASKS, "ingest.slices": [], **FOUR_EPOCHS, **changes}
    write_params(folder / "params.yaml", small_params(changes))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run stages by hand, in order, as their commands in dvc.yaml say; return their folder."""
    monkeypatch.chdir(tmp_path)

    def run_stages(present, stages=AFTER_INGEST, **changes) -> Path:
        write_ingested(tmp_path, present, **changes)
        run_by_hand(stages)
        return tmp_path

    return run_stages


def history(folder: Path, stage: str) -> pd.DataFrame:
    return read_table(folder / f"reports/history/{stage}.csv", HISTORY)


def report(folder: Path, name: str) -> dict:
    return json.loads((folder / f"reports/{name}.json").read_text())


@pytest.mark.parametrize("encoders", ["frozen", "finetune"])
def test_no_sample_has_sound(run, encoders):
    modes = dict.fromkeys(MODALITIES, encoders)
    done = run({"image": SPLITS, "text": SPLITS}, **{"train.encoders": modes})
    assert read_index(done / "data/tensors/audio") == []
    assert [p.name for p in (done / "data/features/audio").iterdir()] == ["index.parquet"]
    assert history(done, "features_audio").empty
    assert set(history(done, "features_image")["task"]) == {"views"}
    assert set(history(done, "align")["task"]) == {
        "image and text",
        "image to text",
        "text to image",
    }
    assert set(report(done, "retrieval")["recall_at_1"]) == {"image to text", "text to image"}
    assert set(load_file(done / "data/embeddings.safetensors")) == {"image", "text"}
    assert set(history(done, "train")["series"]) == {
        *("loss", "accuracy all", "accuracy image", "accuracy text")
    }
    assert list(report(done, "metrics")["accuracy"]["type"]) == ["image", "text", "image-text"]
    page = (done / "reports/report.html").read_text()
    assert "image-text" in page and "audio" not in page
    model = done / "models/synesthesia"
    assert not [name for name in load_file(model / "model.safetensors") if "audio" in name]
    assert {path.stem for path in (model / "processors").iterdir()} == {"image", "text"}

    predictor = Predictor(model)
    predictions = predictor(pd.DataFrame({"image": [png(0), None], "text": ["what?", "why?"]}))
    assert set(predictions["type"]) <= {"a", "b"}
    with pytest.raises(InputError, match=r"row 1 has audio.* Give it image, text only"):
        predictor(pd.DataFrame({"text": ["what?", "why?"], "audio": [None, wav(0)]}))


@pytest.mark.parametrize("modality", MODALITIES)
def test_single_modality_is_aligned_with_nothing(run, modality):
    done = run({modality: SPLITS})
    trained = {m: set(history(done, f"features_{m}")["task"]) for m in MODALITIES}
    self_supervised = {"text": {"masked_tokens", "same_text"}}
    expected = self_supervised.get(modality, {"views"})
    assert trained == {m: expected if m == modality else set() for m in MODALITIES}
    assert history(done, "align").empty
    retrieval = report(done, "retrieval")
    assert retrieval["recall_at_1"] == retrieval["recall_at_5"] == {}
    assert list(report(done, "metrics")["accuracy"]["type"]) == [modality]
    assert "Retrieval" not in (done / "reports/report.html").read_text()


def test_test_split_lacks_a_modality(run):
    done = run({"image": SPLITS, "text": SPLITS, "audio": ("train",)})
    assert set(history(done, "features_audio")["task"]) == {"transcript"}
    assert set(report(done, "retrieval")["recall_at_1"]) == {"image to text", "text to image"}
    assert list(report(done, "metrics")["accuracy"]["type"]) == ["image", "text", "image-text"]
    predictor = Predictor(done / "models/synesthesia")
    assert len(predictor(pd.DataFrame({"audio": [wav(0)]}))) == 1


def test_sounds_of_many_texts_teach_words(run, monkeypatch):
    monkeypatch.setattr("components.modalities.audio.transcripts.MANY_TEXTS", 3)
    stages = AFTER_INGEST[: AFTER_INGEST.index("align") + 1]
    done = run({"text": SPLITS, "audio": SPLITS}, stages)
    learnt = history(done, "features_audio")
    assert set(learnt["task"]) == {"transcript"} and set(learnt["series"]) == {"loss", "f1"}
    assert set(report(done, "retrieval")["recall_at_1"]) == {"text to audio", "audio to text"}


def test_only_the_test_split_has_a_modality(run):
    done = run({"image": SPLITS, "text": SPLITS, "audio": ("test",)})
    assert history(done, "features_audio").empty
    assert len(read_index(done / "data/features/audio")) == 1
    assert set(report(done, "retrieval")["recall_at_1"]) == {"image to text", "text to image"}
    assert list(report(done, "metrics")["accuracy"]["type"]) == ["image", "text", "image-text"]
    with pytest.raises(InputError, match="row 0 has audio"):
        Predictor(done / "models/synesthesia")(pd.DataFrame({"audio": [wav(0)]}))


def refused(run, capsys, present, **changes) -> str:
    """Run stages that end with code 2; return their message."""
    with pytest.raises(SystemExit) as ended:
        run(present, **changes)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_test_split_without_learnt_modalities_is_refused(run, capsys):
    message = refused(run, capsys, {"text": ("train", "validation"), "audio": ("test",)})
    assert "no sample of the test split with text" in message


def test_retrieval_of_a_missing_modality_is_refused(run, capsys):
    search = {"kind": "retrieval", "column": "kind", "query": "text", "target": "audio"}
    tasks = TASKS | {"hear": search}
    message = refused(run, capsys, {"image": SPLITS, "text": SPLITS}, tasks=tasks)
    expected = "tasks.hear: in the training split no text and no audio share a value of column"
    assert expected in message


def test_empty_training_samples_are_refused(run, capsys):
    message = refused(run, capsys, {"image": ("test",)})
    assert "nothing to learn from: 12 samples of the training split" in message
