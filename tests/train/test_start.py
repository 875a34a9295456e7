"""A model that starts from another one: what it takes, and what it refuses."""

import logging
import re
from pathlib import Path

import pytest
import torch
from components.modalities.registry import MODALITIES

from components.common.errors import InputError
from components.modalities.text.processing import train_tokenizer
from components.model.folder import CONFIG, WEIGHTS, load_model, save_model
from components.model.multimodal import ModelConfig, MultimodalModel
from components.train.export_pretrained import keep
from components.train.warm_start import start_from
from tests.model.worlds import EVERY_TASK, EVERY_VOCABULARY, make_inputs, make_model
from tests.shrunk import ROOT, assert_refused, run_python, small_settings

ROWS = {m: torch.arange(6) for m in MODALITIES}
GROWN = {
    "answer": {"classes": ["a", "aa", "b", "c", "d"]},
    "tags": {"classes": ["ant", "cat", "dog", "emu"]},
    "size": {"mean": 12.0, "deviation": 6.0},
    "reply": {"classes": ["red", "maybe", "2", "yes", "no"]},
    "caption": {"merges": ["Ġ b", "Ġ a", "Ġ d", "Ġd o"], "max_tokens": 8, "decoding": "greedy"},
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("text") / "tokenizer.json"
    settings = small_settings().preprocess.text
    path.write_text(train_tokenizer(["is it red?"], settings).to_str())
    return path


def saved(model: MultimodalModel, tokenizer: Path, folder: Path) -> Path:
    save_model(folder, model, tokenizer.read_text())
    return folder


def every_model(vocabulary: dict, tasks: dict = EVERY_TASK, seed: int = 1) -> MultimodalModel:
    """Of a task of every kind, with this vocabulary."""
    settings = small_settings().model_copy(update={"tasks": tasks})
    torch.manual_seed(seed)
    model = MultimodalModel(ModelConfig.of(settings, vocabulary, MODALITIES)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def share_encoders(model: MultimodalModel, other: MultimodalModel) -> None:
    model.encoders.load_state_dict(other.encoders.state_dict())


@torch.no_grad()
def answers(model: MultimodalModel) -> dict:
    return model(model.encode(make_inputs(6)), ROWS)


def test_the_same_tasks_take_everything(tokenizer, tmp_path, caplog):
    other, model = make_model(seed=1), make_model(seed=2)
    share_encoders(model, other)
    folder = saved(other, tokenizer, tmp_path / "champion")
    with caplog.at_level(logging.INFO):
        start_from(folder, model, tokenizer, frozen=set(MODALITIES))
    state = model.state_dict()
    assert all(value.equal(state[name]) for name, value in other.state_dict().items())
    expected = f"train: starts from {folder}: {len(state)} of {len(state)} tensors are taken"
    assert caplog.messages == [f"{expected}; anew: nothing"]


def test_what_was_known_is_answered_as_before_whatever_is_new(tokenizer, tmp_path, caplog):
    """New and other places of classes and tokens, another mean and deviation of numbers."""
    other, model = every_model(EVERY_VOCABULARY), every_model(GROWN, seed=2)
    share_encoders(model, other)
    fresh = {task: head.state_dict() for task, head in every_model(GROWN, seed=2).heads.items()}
    with caplog.at_level(logging.INFO):
        start_from(saved(other, tokenizer, tmp_path / "m"), model, tokenizer, set(MODALITIES))
    found, expected = answers(model), answers(other)
    for task in ("answer", "tags", "reply"):
        names, known = model.kinds[task].names, other.kinds[task].names
        places = [names.index(name) for name in known if name in names]
        rows = [row for row, name in enumerate(known) if name in names]
        torch.testing.assert_close(found[task][:, places], expected[task][:, rows])
        new = [place for place, name in enumerate(names) if name not in known]
        weight = model.heads[task].state_dict()["weight"]
        assert new and weight[new].equal(fresh[task]["weight"][new])
    one, two = (m.kinds["size"].predict(a["size"]).values for m, a in
                ((model, found), (other, expected)))  # fmt: skip
    assert one == pytest.approx(two, rel=1e-4)
    names, known = model.kinds["caption"].names, other.kinds["caption"].names
    assert len(names) == len(known) + 1
    written = torch.zeros(6, 1, dtype=torch.int64)  # each text has just begun
    said, before = (a["caption"].logits(written) for a in (found, expected))
    places = [names.index(token) for token in known]
    torch.testing.assert_close(said[..., places], before)
    listed = "2 of 5 outputs of answer, 1 of 4 outputs of tags, 1 of 5 outputs of reply"
    assert f"anew: {listed}, 1 of {len(names)} outputs of caption" in caplog.text


def test_tasks_that_are_new_or_of_another_kind_start_anew(tokenizer, tmp_path, caplog):
    some = {name: EVERY_TASK[name] for name in ("answer", "reply")}
    some["tags"] = EVERY_TASK["answer"].model_copy(update={"column": "tags"})
    vocabulary = {name: {"classes": ["cat", "dog", "emu"]} for name in some}
    other, model = every_model(vocabulary, some), every_model(EVERY_VOCABULARY, seed=2)
    share_encoders(model, other)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with caplog.at_level(logging.INFO):
        start_from(saved(other, tokenizer, tmp_path / "m"), model, tokenizer, set(MODALITIES))
    for name, value in model.state_dict().items():
        if name.startswith(("heads.tags.", "heads.size.", "heads.caption.")):
            assert value.equal(before[name])
    assert "task tags, task size" in caplog.text and "task caption" in caplog.text


def test_an_encoder_that_is_trained_too_goes_on_from_its_own_weights(tokenizer, tmp_path):
    other, model = make_model(seed=1), make_model(seed=2)
    for m in ("text", "audio"):
        model.encoders[m].load_state_dict(other.encoders[m].state_dict())
    start_from(saved(other, tokenizer, tmp_path / "m"), model, tokenizer, {"text", "audio"})
    assert all(torch.equal(answer, answers(other)[task]) for task, answer in answers(model).items())


def test_a_modality_that_it_never_learnt_keeps_what_the_stages_before_gave(tokenizer, tmp_path):
    other, model = make_model(seed=1, learnt=("image", "text")), make_model(seed=2)
    for m in ("image", "text"):
        model.encoders[m].load_state_dict(other.encoders[m].state_dict())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start_from(saved(other, tokenizer, tmp_path / "m"), model, tokenizer, set(MODALITIES))
    for name, value in model.state_dict().items():
        own = name.startswith(("encoders.audio.", "projections.audio."))
        assert value.equal((before if own else other.state_dict())[name]), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion": "gated"}, "model.fusion: found 'bilinear', expected 'gated'"),
        ({"model.rank": 4}, "model.rank: found 8, expected 4"),
        ({"model.norm": "post"}, "model.norm: found 'pre', expected 'post'"),
        ({"align.width": 16}, "align.width: found 8, expected 16"),
        ({"features.image.width": 16}, "features.image.width: found 8, expected 16"),
        ({"features.text.heads": 4}, "features.text.heads: found 2, expected 4"),
        ({"preprocess.audio.hop": 128}, "preprocess.audio.hop: found 256, expected 128"),
        (
            {"model.size.layers": 2},
            "model.size: found {'width': 8, 'layers': 1, 'heads': 2}, expected {'width': 8, "
            "'layers': 2",
        ),
    ],
)
def test_a_model_of_another_form_is_refused(tokenizer, tmp_path, changes, message):
    folder = saved(make_model(), tokenizer, tmp_path / "m")
    model = make_model(**changes)
    with pytest.raises(InputError, match=re.escape(f"{folder} is built differently")) as error:
        start_from(folder, model, tokenizer, set(MODALITIES))
    assert message in str(error.value)


def test_settings_that_only_say_how_to_learn_may_be_others(tokenizer, tmp_path):
    folder = saved(make_model(), tokenizer, tmp_path / "m")
    changes = {"model.dropout": 0.2, "features.image.epochs": 9, "features.text.dropout": 0.3}
    model = make_model(**changes, **{"features.audio.pretrained": "a.safetensors"})
    start_from(folder, model, tokenizer, set(MODALITIES))


def test_other_encoders_or_words_are_refused(tokenizer, tmp_path):
    folder = saved(make_model(seed=1), tokenizer, tmp_path / "m")
    model = make_model(seed=2)
    model.encoders["text"].load_state_dict(make_model(seed=1).encoders["text"].state_dict())
    message = "another encoder of image, another encoder of audio than there is now"
    with pytest.raises(InputError, match=message):
        start_from(folder, model, tokenizer, set(MODALITIES))
    words = tmp_path / "tokenizer.json"
    words.write_text(train_tokenizer(["no"], small_settings().preprocess.text).to_str())
    with pytest.raises(InputError, match="with another tokenizer than there is now"):
        start_from(folder, model, words, {"text"})


def test_what_is_no_model_is_refused(tokenizer, tmp_path):
    with pytest.raises(InputError, match="train.start: .*champion does not exist"):
        start_from(tmp_path / "champion", make_model(), tokenizer, set())
    folder = saved(make_model(), tokenizer, tmp_path / "m")
    (folder / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(InputError, match="train.start: .* or set null to start anew"):
        start_from(folder, make_model(), tokenizer, set())


def test_a_model_is_kept_whole_and_in_parts(tokenizer, tmp_path):
    other = make_model(seed=1, learnt=("image", "text"))
    folder = saved(other, tokenizer, tmp_path / "m")
    assert keep(folder, "champion", tmp_path / "pretrained") == {
        "features": {m: {"pretrained": "champion.safetensors"} for m in ("image", "text")},
        "preprocess": {"text": {"tokenizer": "champion.json"}},
        "train": {"start": "champion"},
    }
    kept = tmp_path / "pretrained/model/champion"
    found = {path.name: path.read_bytes() for path in kept.iterdir()}
    assert found == {path.name: path.read_bytes() for path in folder.iterdir()}
    files = sorted(path.name for path in (tmp_path / "pretrained").rglob("*.*"))
    assert files == sorted([*found, "champion.safetensors", "champion.safetensors",
                            "champion.json"])  # fmt: skip
    assert load_model(kept)[0].config == other.config


def test_keeping_what_is_no_model_or_has_no_name_is_refused(tokenizer, tmp_path):
    command = ("-m", "components.train.export_pretrained", "--pretrained", str(tmp_path))
    process = run_python(*command, "--name", "a", "--model", "nowhere", cwd=ROOT)
    assert_refused(process, f"nowhere/{CONFIG} is missing")
    process = run_python(*command, "--name", "../a", cwd=ROOT)
    assert_refused(process, "--name: found '../a'")
    assert list(tmp_path.iterdir()) == []
