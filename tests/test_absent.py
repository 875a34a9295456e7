"""From media to metrics where a modality is in no sample, or in none of a split."""

import json

import pandas as pd
import pytest
from components.modalities.registry import MODALITIES
from safetensors.torch import load_file

from components.common.errors import InputError
from components.common.files import write_json
from components.common.hashing import content_id
from components.data.shards import Asset, MediaWriter, read_index
from components.data.tables import HISTORY, SAMPLES, read_table, write_table
from components.model.predictor import Predictor
from tests.shrunk import png, small_params, wav, write_params
from tests.stages import STAGES, run_by_hand

COUNT = 24
SPLITS = ("train", "train", "validation", "test")
STAGES_OF_LEARNING = [name for name in STAGES if name not in ("ingest", "register")]
TASKS = {"type": {"kind": "classification", "column": "kind", "decided_by": [], "weight": 1.0}}
FOUR_EPOCHS = {f"features.{m}.epochs": 4 for m in MODALITIES}


def media(number: int) -> dict[str, bytes]:
    """A picture, a text and a sound, other ones for each number."""
    return {
        "image": png(number),
        "text": f"picture number {number}".encode(),
        "audio": wav(number),
    }


def write_world(folder, present: dict[str, tuple[str, ...]], **changes) -> None:
    """What ingest leaves of samples that have each modality in the splits of `present` only."""
    writers = {m: MediaWriter(folder / "data" / "media" / m) for m in MODALITIES}
    rows = []
    for number in range(COUNT):
        split = SPLITS[number % len(SPLITS)]
        row = {"sample_id": str(number), "split": split, "kind": "ab"[number // 4 % 2]}
        for m, content in media(number).items():
            here = split in present.get(m, ())
            row[f"{m}_id"] = content_id(content) if here else None
            if here:
                writers[m].add(Asset(content_id(content), content))
        rows.append(row)
    for writer in writers.values():
        writer.close()
    write_table(folder / "data" / "samples.parquet", pd.DataFrame(rows, dtype="str"), SAMPLES)
    write_json(folder / "data" / "vocabulary.json", {"type": {"classes": ["a", "b"]}})
    changes = {"tasks": TASKS, "ingest.slices": [], **FOUR_EPOCHS, **changes}
    write_params(folder / "params.yaml", small_params(changes))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs stages by hand, in their order, each as its line in dvc.yaml says."""
    monkeypatch.chdir(tmp_path)

    def run_stages(present, stages=STAGES_OF_LEARNING, **changes):
        write_world(tmp_path, present, **changes)
        run_by_hand(stages, monkeypatch)
        return tmp_path

    return run_stages


def history(folder, stage: str) -> pd.DataFrame:
    return read_table(folder / "reports" / "history" / f"{stage}.csv", HISTORY)


def read(folder, name: str) -> dict:
    return json.loads((folder / "reports" / f"{name}.json").read_text())


@pytest.mark.parametrize("encoders", ["frozen", "finetune"])
def test_images_and_texts_without_any_sound(run, encoders):
    modes = {f"train.encoders.{m}": encoders for m in MODALITIES}
    done = run({"image": SPLITS, "text": SPLITS}, **modes)
    assert read_index(done / "data" / "tensors" / "audio") == []
    assert [p.name for p in (done / "data" / "features" / "audio").iterdir()] == ["index.parquet"]
    assert history(done, "features_audio").empty
    assert set(history(done, "features_image")["task"]) == {"same_image"}
    assert set(history(done, "align")["task"]) == {"image–text", "image→text", "text→image"}
    assert set(read(done, "retrieval")["recall_at_1"]) == {"image→text", "text→image"}
    assert set(load_file(done / "data" / "embeddings.safetensors")) == {"image", "text"}
    assert set(history(done, "train")["series"]) == {
        "loss", "accuracy (all)", "accuracy (image+text)",
    }  # fmt: skip
    assert list(read(done, "metrics")["accuracy"]["type"]) == ["image", "text", "image+text"]
    report = (done / "reports" / "report.html").read_text()
    assert "image+text" in report and "audio" not in report
    weights = load_file(done / "models" / "synesthesia" / "model.safetensors")
    untaught = load_file(done / "models" / "encoders" / "audio.safetensors")
    assert all(weights[f"encoders.audio.{name}"].equal(v) for name, v in untaught.items())

    predictor = Predictor(done / "models" / "synesthesia")
    answers = predictor(pd.DataFrame({"image": [png(0), None], "text": ["what?", "why?"]}))
    assert set(answers["type"]) <= {"a", "b"}
    with pytest.raises(InputError, match=r"row 1 has audio.* Give it image, text only"):
        predictor(pd.DataFrame({"text": ["what?", "why?"], "audio": [None, wav(0)]}))


@pytest.mark.parametrize("modality", MODALITIES)
def test_one_modality_alone_has_nothing_to_be_aligned_with(run, modality):
    done = run({modality: SPLITS})
    taught = {m: set(history(done, f"features_{m}")["task"]) for m in MODALITIES}
    by_itself = {"image": {"same_image"}, "text": {"masked_tokens", "same_text"}}
    by_itself["audio"] = {"same_audio"}
    assert taught == {m: by_itself[m] if m == modality else set() for m in MODALITIES}
    assert history(done, "align").empty
    assert read(done, "retrieval") == {"recall_at_1": {}, "recall_at_5": {}}
    assert list(read(done, "metrics")["accuracy"]["type"]) == [modality]
    assert "Retrieval" not in (done / "reports" / "report.html").read_text()


def test_a_modality_that_training_has_and_the_test_lacks(run):
    present = {"image": SPLITS, "text": SPLITS, "audio": ("train",)}
    done = run(present)
    assert set(history(done, "features_audio")["task"]) == {"transcript"}
    assert set(read(done, "retrieval")["recall_at_1"]) == {"image→text", "text→image"}
    assert list(read(done, "metrics")["accuracy"]["type"]) == ["image", "text", "image+text"]
    predictor = Predictor(done / "models" / "synesthesia")
    assert len(predictor(pd.DataFrame({"audio": [wav(0)]}))) == 1


def test_sounds_of_many_texts_are_taught_which_words_they_say(run, monkeypatch):
    monkeypatch.setattr("components.features.audio.MANY_TEXTS", 3)
    stages = STAGES_OF_LEARNING[: STAGES_OF_LEARNING.index("align") + 1]
    done = run({"text": SPLITS, "audio": SPLITS}, stages)
    learnt = history(done, "features_audio")
    assert set(learnt["task"]) == {"transcript"} and set(learnt["series"]) == {"loss", "f1"}
    assert set(read(done, "retrieval")["recall_at_1"]) == {"text→audio", "audio→text"}


def test_a_modality_that_only_the_test_has_is_not_asked_of_the_model(run):
    present = {"image": SPLITS, "text": SPLITS, "audio": ("test",)}
    done = run(present)
    assert history(done, "features_audio").empty
    assert len(read_index(done / "data" / "features" / "audio")) == 1
    assert set(read(done, "retrieval")["recall_at_1"]) == {"image→text", "text→image"}
    assert list(read(done, "metrics")["accuracy"]["type"]) == ["image", "text", "image+text"]
    with pytest.raises(InputError, match="row 0 has audio"):
        Predictor(done / "models" / "synesthesia")(pd.DataFrame({"audio": [wav(0)]}))


def test_a_test_split_with_nothing_that_was_learnt_is_the_user_s_mistake(run, capsys):
    with pytest.raises(SystemExit) as ended:
        run({"text": ("train", "validation"), "audio": ("test",)})
    assert ended.value.code == 2
    assert "no sample of the test split with text" in capsys.readouterr().err


def test_what_no_sample_has_cannot_be_searched_for(run, capsys):
    search = {"kind": "retrieval", "column": "kind", "query": "text", "weight": 1.0}
    tasks = TASKS | {"hear": search | {"target": "audio"}}
    with pytest.raises(SystemExit) as ended:
        run({"image": SPLITS, "text": SPLITS}, tasks=tasks)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "tasks.hear: in the training split no text and no audio share a value of column" in said


def test_no_training_sample_with_anything_is_the_user_s_mistake(run, capsys):
    with pytest.raises(SystemExit) as ended:
        run({"image": ("test",)})
    assert ended.value.code == 2
    assert "nothing to learn from: 12 samples of the training split" in capsys.readouterr().err
