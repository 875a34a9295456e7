"""A tiny model as MLflow loads it."""

import sys

import pandas as pd
import pytest

from components.model.folder import save_model
from components.model.predictor import Predictor
from components.register.packaged import PortablePyfunc, pyfunc_content
from tests.support.tiny_model import QUESTION, make_model, make_processors


@pytest.fixture(scope="package")
def served(tmp_path_factory):
    """A pyfunc of images, texts and sounds, saved as `register` does and loaded by a server."""
    from mlflow import pyfunc
    from mlflow.models import Model
    from mlflow.pyfunc import scoring_server  # noqa: F401  # as in the process of a server

    folder, before = tmp_path_factory.mktemp("pyfunc"), list(sys.path)
    save_model(folder / "model", make_model(), make_processors())
    example = pd.DataFrame({"text": [QUESTION]})
    content = pyfunc_content(folder / "model", Predictor(folder / "model"), example)
    PortablePyfunc.save_model(str(folder / "saved"), Model(), **content)
    yield pyfunc.load_model(str(folder / "saved"))
    sys.path[:] = before  # MLflow adds the model's own code
