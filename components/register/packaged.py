"""The model as MLflow keeps it: a pyfunc with signature, example and requirements."""

from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

import components
from components.common.errors import InputError
from components.data.shards import media_of
from components.modalities.registry import MODALITIES, Modality
from components.model.predictor import Predictor

REQUIREMENTS = (
    *("mlflow", "torch", "torchvision", "torchaudio", "safetensors", "tokenizers", "soundfile"),
    *("pillow", "simplejpeg", "cykooz-resizer", "pydantic", "pandas", "pandera", "pyarrow"),
    *("tqdm", "PyYAML", "psutil"),
)


def log_model(mlflow, folder: Path, predictor: Predictor, example: pd.DataFrame) -> str:
    """Upload a model folder to the active run; the id of the logged model."""
    logged = mlflow.pyfunc.log_model(
        name="model",
        python_model=find_spec("components.serving.pyfunc").origin,
        artifacts={"model": str(folder)},
        code_paths=[components.__path__[0]],
        signature=signature(predictor),
        input_example=example,
        pip_requirements=[f"{name}=={version(name)}" for name in requirements(predictor)],
    )
    return logged.model_id


def requirements(predictor: Predictor) -> tuple[str, ...]:
    """The packages that a model needs to answer."""
    foreign = predictor.model.config.descriptions
    return (*REQUIREMENTS, *(["transformers"] if foreign else []))


def input_example(
    samples: pd.DataFrame, media: Path, modalities: Sequence[Modality]
) -> pd.DataFrame:
    """The first test sample that has all of some modalities, or the most, as raw media."""
    test = samples[samples["split"] == "test"]
    columns = [f"{m}_id" for m in modalities]
    sample = test.loc[test[columns].notna().sum(axis=1).idxmax()]
    row = {}
    for m in modalities:
        if pd.notna(sample[f"{m}_id"]):
            content = read_asset(media / m, sample[f"{m}_id"])
            row[m] = content.decode() if m == "text" else content
    return pd.DataFrame([row])


def read_asset(folder: Path, asset_id: str) -> bytes:
    """One asset's bytes from a media shard set."""
    for _, content in media_of(folder, {asset_id}):
        return content
    raise InputError(f"{folder} does not hold the asset {asset_id}. Run: dvc repro")


def signature(predictor: Predictor):
    """Optional image, text and audio in; each task's answer and confidence out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import Array

    media = {"image": "binary", "text": "string", "audio": "binary"}
    types = {
        str: "string",
        float: "double",
        list[str]: Array("string"),
        list[float]: Array("double"),
    }
    outputs = [
        ColSpec(types[answer], name, required=False)
        for task, kind in predictor.model.kinds.items()
        for answer, name in ((kind.ANSWER, task), (kind.CONFIDENCE, f"{task}_confidence"))
        if answer is not None
    ]
    inputs = [ColSpec(media[m], m, required=False) for m in MODALITIES]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema(outputs))
