"""The model as MLflow loads it: a model from code, so that nothing is pickled."""

import logging
import sys
from functools import partial
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
        _show_no_tracebacks()

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


def _show_no_tracebacks() -> None:
    """Let MLflow's server, if this process is one, refuse what it cannot parse without traceback.

    It adds one, with paths of the machine, to its answer to a broken CSV, and has no setting.
    """
    if server := sys.modules.get("mlflow.pyfunc.scoring_server"):
        explain = partial(server._handle_serving_error, include_traceback=False)
        server._handle_serving_error = explain  # pyright: ignore[reportAttributeAccessIssue]


set_model(PredictorModel())
