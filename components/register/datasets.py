"""The data that a model was made from, as MLflow's datasets: names, hashes, schemas, counts."""

import json
from pathlib import Path

import pandas as pd

from components.common.hashing import file_hash
from components.data.tables import SPLITS
from components.modalities.registry import MODALITIES

CONTEXTS = {"train": "training", "validation": "validation", "test": "test"}


def datasets(path: Path, samples: pd.DataFrame, media: Path, hashes: dict[str, str]) -> list:
    """A dataset a split of the samples, and one a modality's media, as `log_inputs` takes them.

    Args:
        path: of the samples.
        samples: the table.
        media: the folder of the media shard sets.
        hashes: path → DVC's hash; where it has none, a hash of the content stands in.
    """
    from mlflow.models import infer_signature

    schema = json.dumps({"mlflow_colspec": infer_signature(samples).inputs.to_dict()})
    inputs = []
    for split in SPLITS:
        rows = samples[samples["split"] == split]
        assets = {f"{m}_assets": int(rows[f"{m}_id"].nunique()) for m in MODALITIES}
        counts = {"num_rows": len(rows), **assets}
        inputs.append(_input(f"samples, {split}", CONTEXTS[split], path, hashes, counts, schema))
    for m in MODALITIES:
        counts = {"num_rows": int(samples[f"{m}_id"].nunique())}
        inputs.append(_input(f"media, {m}", "media", media / m, hashes, counts))
    return inputs


def _input(name, context, path: Path, hashes, counts: dict[str, int], schema=None):
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digest = hashes.get(str(path)) or file_hash(path)
    source = json.dumps({"path": str(path), "hash": digest})
    dataset = Dataset(name, digest, "dvc", source, schema, json.dumps(counts))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
