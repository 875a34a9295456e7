"""The model as MLflow loads it: a model from code, so that nothing is pickled."""

import logging
from pathlib import Path

import pandas as pd
from mlflow import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from components.model.predictor import Predictor, UnusableRow

log = logging.getLogger(__name__)


class PredictorModel(PythonModel):
    """The pyfunc around `Predictor`."""

    def load_context(self, context) -> None:
        self.predictor = Predictor(Path(context.artifacts["model"]))

    def predict(self, context, model_input: pd.DataFrame, params=None) -> pd.DataFrame:
        """See `Predictor.__call__`; missing values are None, which JSON has, unlike NaN.

        Raise `MlflowException`, which a server returns as JSON: with `row` and `reason` for a row
        that cannot be used, and without a traceback, which MLflow adds to any other exception.
        """
        try:
            predictions = self.predictor(model_input)
        except UnusableRow as error:
            raise MlflowException.invalid_parameter_value(
                str(error), row=error.row, reason=error.reason
            ) from error
        except Exception as error:
            log.exception("the model does not predict")
            raise MlflowException("the model does not predict; the log has the reason") from error
        return predictions.astype(object).where(predictions.notna(), None)


set_model(PredictorModel())
