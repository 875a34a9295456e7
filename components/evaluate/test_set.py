"""The test split as raw media, and how a model that reads them in its own way is asked about it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd
import torch

from components.common.errors import InputError
from components.data.assets import MISSING
from components.data.batch import Samples
from components.data.shards import media_of
from components.evaluate.predict import answer
from components.evaluate.robustness.measure import Spoil
from components.layers.features import AT_ONCE, Features
from components.modalities.registry import MODALITIES, Modality
from components.model.multimodal import MultimodalModel
from components.model.predictor import Predictor
from components.tasks.settings import TaskSettings


@dataclass(frozen=True)
class Questions:
    """What a model is asked.

    Attributes:
        table: the test split.
        media: folder, one media shard set a modality.
        tasks: those that the model has a head for.
        group: what splits keep together, as the setting ingest.splits.group says.
    """

    table: pd.DataFrame
    media: Path
    tasks: Mapping[str, TaskSettings]
    group: str

    def ids(self, modality: Modality) -> set[str]:
        """The assets that are asked about."""
        return set(self.table[f"{modality}_id"].dropna())


@dataclass(frozen=True)
class Encoded:
    """Features of all assets of a modality that are asked about, in the order of `ids`."""

    ids: tuple[str, ...]
    features: Features


def known(model: MultimodalModel, tasks: Mapping[str, TaskSettings]) -> dict[str, TaskSettings]:
    """Those of the tasks that the model has a head for, of the same kind."""
    heads = model.config.tasks
    return {n: task for n, task in tasks.items() if n in heads and heads[n].kind == task.kind}


def some(items: Iterable, size: int) -> Iterator[list]:
    """The items, so many at a time."""
    items = iter(items)
    while taken := list(islice(items, size)):
        yield taken


@torch.no_grad()
def encode(
    predictor: Predictor, modality: Modality, questions: Questions, spoil: Spoil | None = None
) -> Encoded | None:
    """Read, process and encode each asset once, a few hundred at a time; None if there is none.

    Args:
        predictor: the model.
        modality: of the assets.
        questions: which assets.
        spoil: gives each another content, or none: then it has gone.

    Raises:
        InputError: an asset is not there.
    """
    encoder, processor = predictor.model.encoders[modality], predictor.processors[modality]
    ids, parts = [], []
    pairs = media_of(questions.media / modality, questions.ids(modality))
    if spoil is not None:
        spoilt = ((asset, spoil(asset, content)) for asset, content in pairs)
        pairs = ((asset, content) for asset, content in spoilt if content is not None)
    for batch in some(pairs, getattr(encoder, "at_once", AT_ONCE)):
        inputs = processor([content for _, content in batch])
        ids += [asset for asset, _ in batch]
        parts.append(encoder(**{name: torch.as_tensor(v) for name, v in inputs.items()}))
    if spoil is None and (lost := questions.ids(modality).difference(ids)):
        raise InputError(
            f"{questions.media / modality} lacks {len(lost)} assets of the test split, as "
            f"{min(lost)}. It is of another time than the samples; run: dvc repro"
        )
    return Encoded(tuple(ids), Features.cat(parts)) if parts else None


def ask(
    model: MultimodalModel, questions: Questions, encoded: Mapping[Modality, Encoded | None]
) -> pd.DataFrame:
    """The answers, a table as `PREDICTIONS`."""
    there = {m: found for m, found in encoded.items() if found is not None}
    rows = {m: torch.full((len(questions.table),), MISSING) for m in MODALITIES}
    for m, found in there.items():
        places = pd.Series(range(len(found.ids)), found.ids)
        column = questions.table[f"{m}_id"].map(places).fillna(MISSING)
        rows[m] = torch.tensor(column.astype("int64").to_numpy())
    features = {m: found.features for m, found in there.items()}
    return answer(model, questions.table, features, Samples(rows, {}), questions.tasks)


def raw_rows(predictor: Predictor, questions: Questions, count: int) -> pd.DataFrame:
    """Up to `count` samples as a caller sends them, raw: some with the most modalities."""
    learnt = predictor.model.config.learnt
    columns = [f"{m}_id" for m in learnt]
    given = questions.table[columns].notna().sum(axis=1)
    rows = questions.table[given == given.max()].head(count)
    result = {}
    for m in learnt:
        contents = dict(media_of(questions.media / m, set(rows[f"{m}_id"].dropna())))
        texts = rows[f"{m}_id"].map(contents)
        result[m] = texts.map(bytes.decode, na_action="ignore") if m == "text" else texts
    return pd.DataFrame(result).reset_index(drop=True)
