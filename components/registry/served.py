"""The model as MLflow loads it: a model from code, so that nothing is pickled."""

from pathlib import Path

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from components.model.predictor import Predictor


class Served(PythonModel):
    """The pyfunc around `Predictor`."""

    def load_context(self, context) -> None:
        """Load the weights that lie among the artifacts."""
        self.predictor = Predictor(Path(context.artifacts["model"]))

    def predict(self, context, model_input: pd.DataFrame, params=None) -> pd.DataFrame:
        """See `Predictor.__call__`."""
        return self.predictor(model_input)


set_model(Served())
