"""The model as MLflow stores it: its input example and its signature."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from mlflow.models import Model

from components.common.errors import InputError
from components.common.hashing import content_id
from components.data.shards import Asset, MediaWriter
from components.huggingface.description import Description
from components.model.folder import save_model
from components.model.predictor import Predictor
from components.register.packaged import (
    REQUIREMENTS,
    PortablePyfunc,
    input_example,
    pyfunc_content,
    read_asset,
    requirements,
    signature,
)
from tests.support.media import png, wav
from tests.support.params import ROOT
from tests.support.tiny_model import PRESENT, make_model, make_processors


def write_media(folder, contents: dict[str, list[bytes]]) -> None:
    """Write a media shard set per modality."""
    for modality, items in contents.items():
        writer = MediaWriter(folder / modality)
        for item in items:
            writer.add(Asset(content_id(item), item))
        writer.close()


@pytest.mark.parametrize(
    ("split", "expected"),
    [("test", {"image": png(1), "text": "é?"}), ("validation", {"image": png(1)})],
)
def test_input_example_has_the_most_modalities(tmp_path, split, expected):
    """It is the first such sample of the split."""
    write_media(tmp_path, {"image": [png(0), png(1)], "text": ["é?".encode()], "audio": [wav(0)]})
    rows = [
        ("train", png(0), "é?".encode(), wav(0)),
        ("test", png(0), None, None),
        ("test", png(1), "é?".encode(), None),
        ("test", png(0), "é?".encode(), None),
        ("validation", png(1), None, None),
    ]
    table = pd.DataFrame(
        [(split, *(c and content_id(c) for c in contents)) for split, *contents in rows],
        columns=["split", "image_id", "text_id", "audio_id"],
        dtype="str",
    )
    example = input_example(table, split, tmp_path, PRESENT)
    assert example.to_dict("records") == [expected]


def test_missing_asset_is_named(tmp_path):
    write_media(tmp_path, {"image": [png(0)]})
    with pytest.raises(InputError, match=f"does not contain the asset {content_id(b'x')}"):
        read_asset(tmp_path / "image", content_id(b"x"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model of images and texts with a task of every kind."""
    folder, modalities = tmp_path_factory.mktemp("model"), ("image", "text")
    model = make_model(every=True, modalities=modalities)
    save_model(folder, model, make_processors(modalities))
    return folder


@pytest.fixture(scope="module")
def predictor(folder) -> Predictor:
    return Predictor(folder)


def test_signature_has_all_modalities_and_the_tasks_of_the_model(predictor):
    """MLflow would drop the sound of a row silently; the predictor refuses it."""
    found = signature(predictor)
    inputs = {column.name: (str(column.type), column.required) for column in found.inputs}
    assert inputs == {
        "image": ("DataType.binary", False),
        "text": ("DataType.string", False),
        "audio": ("DataType.binary", False),
        "tabular": ("DataType.string", False),
    }
    outputs = {column.name: str(column.type) for column in found.outputs}
    assert outputs == {
        **{"answer": "DataType.string", "answer_confidence": "DataType.double"},
        **{"tags": "Array(string)", "tags_confidence": "Array(double)"},
        "size": "DataType.double",
        **{"reply": "DataType.string", "reply_confidence": "DataType.double"},
        **{"caption": "DataType.string", "caption_confidence": "DataType.double"},
    }


def test_libraries_are_required_by_their_models_only(predictor, monkeypatch):
    assert requirements(predictor) == REQUIREMENTS
    configs = {"image": {"architecture": "resnet18"}, "text": {"model_type": "bert"}}
    more = {"inputs": {}, "pooling": "own", "pooler": False, "normalised": False}
    found = {m: Description(config=config, **more) for m, config in configs.items()}
    config = predictor.model.config.model_copy(update={"descriptions": found})
    monkeypatch.setattr(predictor.model, "config", config)
    assert requirements(predictor) == (*REQUIREMENTS, "timm", "transformers")


def test_saved_model_names_no_path_of_this_machine(folder, predictor, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    content = pyfunc_content(Path(folder.name), predictor, pd.DataFrame({"text": ["why?"]}))
    model = Model(artifact_path=f"file://{tmp_path}/artifacts")  # as `Model.log` gives it
    PortablePyfunc.save_model(str(tmp_path / "saved"), model, **content)
    found = yaml.safe_load((tmp_path / "saved/MLmodel").read_text())
    assert found["artifact_path"] == "model"
    assert found["flavors"]["python_function"]["model_code_path"] == "pyfunc.py"
    for path in (tmp_path / "saved").glob("*.*"):
        text = path.read_text()
        assert str(ROOT) not in text and str(tmp_path.parent) not in text, path
