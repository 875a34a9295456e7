"""The model as MLflow stores it: a pyfunc with signature, example and requirements."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from components.common.errors import InputError
from components.common.source_code import ROOT
from components.data.samples import SPLIT, asset_column
from components.data.shards import read_assets
from components.modalities.registry import MODALITIES, modality
from components.model.predictor import Predictor
from components.tasks.names import confidence_column

REQUIREMENTS = (
    *("mlflow", "torch", "torchvision", "torchaudio", "safetensors", "tokenizers", "soundfile"),
    *("pillow", "simplejpeg", "cykooz-resizer", "pydantic", "pandas", "pandera", "pyarrow"),
    *("tqdm", "PyYAML", "psutil"),
)
NAME = "model"  # of the logged model
PYFUNC = "components.serving.pyfunc"  # MLflow reads the file


def log_model(mlflow: ModuleType, folder: Path, predictor: Predictor, example: pd.DataFrame) -> str:
    """Upload a model folder to the active run; return the id of the logged model."""
    content = pyfunc_content(folder, predictor, example)
    return mlflow.models.Model.log(None, PortablePyfunc, name=NAME, **content).model_id


def pyfunc_content(folder: Path, predictor: Predictor, example: pd.DataFrame) -> dict[str, Any]:
    """Return what a model folder is as a pyfunc: arguments of `PortablePyfunc.save_model`."""
    return {
        "python_model": str(ROOT / f"{PYFUNC.replace('.', '/')}.py"),
        "artifacts": {"model": str(folder)},
        "code_paths": [str(ROOT / "components")],
        "signature": signature(predictor),
        "input_example": example,
        "pip_requirements": [f"{name}=={version(name)}" for name in requirements(predictor)],
    }


class PortablePyfunc:
    """MLflow's flavor pyfunc, without the paths of this machine that it writes to `MLmodel`."""

    @staticmethod
    def save_model(path: str, mlflow_model: Any, **options) -> None:
        """See `mlflow.pyfunc.save_model`."""
        from mlflow import pyfunc
        from mlflow.models.model import MLMODEL_FILE_NAME, MODEL_CODE_PATH

        pyfunc.save_model(path, mlflow_model=mlflow_model, **options)
        flavor = mlflow_model.flavors[pyfunc.FLAVOR_NAME]
        flavor[MODEL_CODE_PATH] = Path(flavor[MODEL_CODE_PATH]).name
        mlflow_model.artifact_path = NAME
        mlflow_model.save(str(Path(path) / MLMODEL_FILE_NAME))


def requirements(predictor: Predictor) -> tuple[str, ...]:
    """Return the packages that a model needs to predict."""
    pretrained = predictor.model.config.descriptions.values()
    libraries = {"timm" if found.is_timm else "transformers" for found in pretrained}
    return (*REQUIREMENTS, *sorted(libraries))


def input_example(
    samples: pd.DataFrame, split: str, media: Path, modalities: Sequence[str]
) -> pd.DataFrame:
    """Return the raw media of the first sample of a split with the most modalities."""
    test = samples[samples[SPLIT] == split]
    columns = list(map(asset_column, modalities))
    sample = test.iloc[test[columns].notna().sum(axis=1).argmax()]
    row = {}
    for m, column in zip(modalities, columns, strict=True):
        if pd.notna(sample[column]):
            content = read_asset(media / m, str(sample[column]))
            row[m] = content.decode() if modality(m).is_inline else content
    return pd.DataFrame([row])


def read_asset(folder: Path, asset_id: str) -> bytes:
    """Return the bytes of an asset of a media shard set."""
    for _, content in read_assets(folder, {asset_id}):
        return content
    raise InputError(f"{folder} does not contain the asset {asset_id}. Run: dvc repro")


def signature(predictor: Predictor):
    """Return the model's signature: any modalities in; predictions and confidences out.

    Modalities that the model lacks are listed too: MLflow would drop their columns silently, but
    the predictor refuses them.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec
    from mlflow.types.schema import Array

    types = {
        str: "string",
        float: "double",
        list[str]: Array("string"),
        list[float]: Array("double"),
    }
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(types[kind], name, required=False)
        for name, task in predictor.model.tasks.items()
        for kind, name in ((task.VALUE, name), (task.CONFIDENCE, confidence_column(name)))
        if kind is not None
    ]
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(modality(m).mlflow_type, m, required=False) for m in MODALITIES
    ]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))
