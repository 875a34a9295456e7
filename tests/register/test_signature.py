"""Predictions obey the signature that MLflow stores with a model."""

import pandas as pd
import pytest
from mlflow.models.utils import _enforce_schema

from components.model.folder import save_model
from components.model.predictor import Predictor
from components.register.packaged import signature
from tests.support.media import png, wav
from tests.support.tiny_model import QUESTION, make_model, make_processors


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, make_model(every=True), make_processors())
    return Predictor(folder)


def test_predictions_obey_the_signature(predictor):
    outputs = signature(predictor).outputs
    predictions = predictor(pd.DataFrame({"image": [png()], "text": [QUESTION], "audio": [wav()]}))
    assert outputs.input_names() == list(predictions.columns)
    _enforce_schema(predictions, outputs)
