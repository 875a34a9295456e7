"""The model as MLflow loads it: a model from code, so that nothing is pickled."""

from pathlib import Path

import pandas as pd
from mlflow import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from components.common.errors import InputError
from components.model.predictor import Predictor


class PredictorModel(PythonModel):
    """The pyfunc around `Predictor`."""

    def load_context(self, context) -> None:
        self.predictor = Predictor(Path(context.artifacts["model"]))

    def predict(self, context, model_input: pd.DataFrame, params=None) -> pd.DataFrame:
        """See `Predictor.__call__`; missing values are None, which JSON has, unlike NaN.

        For rows that cannot be used raise `MlflowException`, whose message a server returns.
        """
        try:
            predictions = self.predictor(model_input)
        except InputError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return predictions.astype(object).where(predictions.notna(), None)


set_model(PredictorModel())
