"""A model that starts from another one: which weights it takes, and what it refuses."""

import logging
import re
from pathlib import Path

import pytest
import torch

from components.common.errors import InputError
from components.model.folder import WEIGHTS, save_model
from components.model.multimodal import MultimodalModel
from components.train.warm_start import warm_start
from tests.support.tiny_model import (
    EVERY_TASK,
    EVERY_VOCABULARY,
    PRESENT,
    build_model,
    make_inputs,
    make_model,
    make_processors,
)
from tests.train.small_data import train_settings

ROWS = {m: torch.arange(6) for m in PRESENT}
GROWN = {
    "answer": {"classes": ["a", "aa", "b", "c", "d"]},
    "tags": {"classes": ["ant", "cat", "dog", "emu"]},
    "size": {"mean": 12.0, "deviation": 6.0},
    "reply": {"classes": ["red", "maybe", "2", "yes", "no"]},
    "caption": {"merges": ["Ġ b", "Ġ a", "Ġ d", "Ġd o"], "max_tokens": 8, "decoding": "greedy"},
}


@pytest.fixture
def start(tmp_path):
    """Give a model the weights of another one; return the other one's folder."""

    def run(
        other: MultimodalModel, model: MultimodalModel, frozen=PRESENT, processors=None
    ) -> Path:
        folder = tmp_path / "champion"
        save_model(folder, other, make_processors())
        warm_start(folder, model, processors or make_processors(), train_settings(frozen))
        return folder

    return run


def share_encoders(model: MultimodalModel, other: MultimodalModel, modalities=PRESENT) -> None:
    for m in modalities:
        model.encoder(m).load_state_dict(other.encoder(m).state_dict())


def copied(model: MultimodalModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@torch.no_grad()
def logits_of(model: MultimodalModel) -> dict:
    return model(model.encode(make_inputs(6)), ROWS)


def test_same_tasks_take_every_weight(start, caplog):
    other, model = make_model(seed=1), make_model(seed=2)
    share_encoders(model, other)
    with caplog.at_level(logging.INFO):
        folder = start(other, model)
    state = model.state_dict()
    assert all(value.equal(state[name]) for name, value in other.state_dict().items())
    expected = f"train: starts from {folder}: {len(state)} of {len(state)} tensors are taken"
    assert caplog.messages == [f"{expected}; fresh: nothing"]


def test_known_outputs_keep_their_meaning(start, caplog):
    """New and other places of classes and tokens, another mean and deviation of numbers."""
    other = build_model(EVERY_TASK, EVERY_VOCABULARY, seed=1)
    model = build_model(EVERY_TASK, GROWN, seed=2)
    share_encoders(model, other)
    before = copied(model)
    with caplog.at_level(logging.INFO):
        start(other, model)
    found, expected = logits_of(model), logits_of(other)
    for task in ("answer", "tags", "reply"):
        names, known = model.tasks[task].output_names, other.tasks[task].output_names
        places = [names.index(name) for name in known if name in names]
        rows = [row for row, name in enumerate(known) if name in names]
        torch.testing.assert_close(found[task][:, places], expected[task][:, rows])
        new = [place for place, name in enumerate(names) if name not in known]
        weight = model.state_dict()[f"heads.{task}.weight"]
        assert new and weight[new].equal(before[f"heads.{task}.weight"][new])
    one, two = (
        m.tasks["size"].predict(logits["size"]).values
        for m, logits in ((model, found), (other, expected))
    )
    assert one == pytest.approx(two, rel=1e-4)
    names, known = model.tasks["caption"].output_names, other.tasks["caption"].output_names
    assert len(names) == len(known) + 1
    first = torch.zeros(6, 1, dtype=torch.int64)  # each text has just begun
    new, old = (logits["caption"].teacher_forced_logits(first) for logits in (found, expected))
    torch.testing.assert_close(new[..., [names.index(token) for token in known]], old)
    listed = "2 of 5 outputs of answer, 1 of 4 outputs of tags, 1 of 5 outputs of reply"
    assert f"fresh: {listed}, 1 of {len(names)} outputs of caption" in caplog.text


def test_new_tasks_and_kinds_are_fresh(start, caplog):
    some = {name: EVERY_TASK[name] for name in ("answer", "reply")}
    some["tags"] = EVERY_TASK["answer"].model_copy(update={"column": "tags"})
    vocabulary = {name: {"classes": ["cat", "dog", "emu"]} for name in some}
    other, model = build_model(some, vocabulary, seed=1), make_model(seed=2, every=True)
    share_encoders(model, other)
    before = copied(model)
    with caplog.at_level(logging.INFO):
        start(other, model)
    for name, value in model.state_dict().items():
        if name.startswith(("heads.tags.", "heads.size.", "heads.caption.")):
            assert value.equal(before[name])
    assert "task tags, task size" in caplog.text and "task caption" in caplog.text


def test_trained_encoder_continues_from_the_other_model(start):
    other, model = make_model(seed=1), make_model(seed=2)
    share_encoders(model, other, ("text", "audio"))
    start(other, model, frozen=("text", "audio"))
    found, expected = logits_of(model), logits_of(other)
    assert all(values.equal(expected[task]) for task, values in found.items())


def test_new_modality_keeps_the_weights_of_earlier_stages(start):
    other, model = make_model(seed=1, modalities=("image", "text")), make_model(seed=2)
    share_encoders(model, other, ("image", "text"))
    before, trained = copied(model), other.state_dict()
    start(other, model)
    for name, value in model.state_dict().items():
        own = name.startswith(("encoders.audio.", "projections.audio."))
        if own or name in trained:
            assert value.equal((before if own else trained)[name]), name
        else:
            assert value.equal(before[name]) and "audio" in name, name


def test_modality_that_is_gone_is_left_out(start):
    other, model = make_model(seed=1), make_model(seed=2, modalities=("image", "text"))
    share_encoders(model, other, ("image", "text"))
    start(other, model)
    trained = other.state_dict()
    assert all(value.equal(trained[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"fusion": "gated"},
            "model.fusion: found {'kind': 'bilinear', 'rank': 8}, expected {'kind': 'gated'}",
        ),
        (
            {"model.fusion.rank": 4},
            "model.fusion: found {'kind': 'bilinear', 'rank': 8}, "
            "expected {'kind': 'bilinear', 'rank': 4}",
        ),
        ({"model.norm": "post"}, "model.norm: found 'pre', expected 'post'"),
        ({"align.embed_dim": 16}, "align.embed_dim: found 8, expected 16"),
        ({"features.image.width": 16}, "features.image.width: found 8, expected 16"),
        ({"features.text.heads": 4}, "features.text.heads: found 2, expected 4"),
        (
            {"preprocess.audio.hop_length": 128},
            "preprocess.audio.hop_length: found 256, expected 128",
        ),
        (
            {"model.size": {"width": 8, "layers": 2, "heads": 2}},
            "model.size: found {'width': 8, 'layers': 1, 'heads': 2}, expected {'width': 8, "
            "'layers': 2",
        ),
    ],
)
def test_other_architecture_is_refused(start, tmp_path, changes, message):
    folder = tmp_path / "champion"
    with pytest.raises(InputError, match=re.escape(f"{folder} is built differently")) as error:
        start(make_model(), make_model(**changes))
    assert message in str(error.value)


def test_settings_of_learning_may_differ(start):
    changes = {"model.dropout": 0.2, "features.image.epochs": 9, "features.text.dropout": 0.3}
    start(make_model(), make_model(**changes, **{"features.audio.pretrained": "a.safetensors"}))


def test_other_encoders_are_refused(start):
    other, model = make_model(seed=1), make_model(seed=2)
    share_encoders(model, other, ("text",))
    message = "another encoder of image, another encoder of audio than there is now"
    with pytest.raises(InputError, match=message):
        start(other, model)


def test_other_processor_is_refused(start):
    processors = make_processors(text="no")
    with pytest.raises(InputError, match="with another processor of text than there is now"):
        start(make_model(), make_model(), processors=processors)


def test_folder_without_a_model_is_refused(tmp_path):
    def run() -> None:
        folder = tmp_path / "champion"
        warm_start(folder, make_model(), make_processors(), train_settings())

    with pytest.raises(InputError, match=r"train\.warm_start: .*champion does not exist"):
        run()
    save_model(tmp_path / "champion", make_model(), make_processors())
    (tmp_path / "champion" / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"train\.warm_start: .* or set null"):
        run()
