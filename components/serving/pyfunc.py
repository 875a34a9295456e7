"""The model as MLflow loads it: a model from code, so that nothing is pickled."""

from pathlib import Path

import pandas as pd
from mlflow import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from components.common.errors import InputError
from components.model.predictor import Predictor


class Served(PythonModel):
    """The pyfunc around `Predictor`."""

    def load_context(self, context) -> None:
        """Load the weights that lie among the artifacts."""
        self.predictor = Predictor(Path(context.artifacts["model"]))

    def predict(self, context, model_input: pd.DataFrame, params=None) -> pd.DataFrame:
        """See `Predictor.__call__`; what is missing is None, which JSON knows, unlike NaN.

        Raises:
            MlflowException: the rows are at fault; a server gives its message to who asked.
        """
        try:
            answers = self.predictor(model_input)
        except InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return answers.astype(object).where(answers.notna(), None)


set_model(Served())
