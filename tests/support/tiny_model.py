"""A tiny model, and random samples and assets for it."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from components.common.hashing import content_id
from components.data.assets import AssetTensors
from components.data.samples import asset_column
from components.data.shards import Asset, MediaWriter, read_media, transform
from components.layers.features import encode
from components.modalities.modality import Preparation
from components.modalities.registry import MODALITIES, processing_of
from components.modalities.tabular.processing import describe
from components.modalities.text.processing import train_tokenizer
from components.model.config import model_config
from components.model.multimodal import MultimodalModel
from components.tasks.generation.settings import GenerationSettings
from components.tasks.labels import Vocabulary
from components.tasks.multilabel.settings import MultilabelSettings
from components.tasks.registry import head_of, with_heads
from components.tasks.regression.settings import RegressionSettings
from components.tasks.settings import HeadTaskSettings, TaskSettings
from components.tasks.task import Task
from components.tasks.vqa.settings import VqaSettings
from components.train.settings import TrainStageSettings
from tests.support.params import small_params, small_settings

PRESENT = ("image", "text", "audio")  # in the demo's samples
CLASSES = {"answer": ["a", "b", "c"], "shape": ["x", "y"], "question_type": ["p", "q"]}
VOCABULARY = {name: {"classes": classes} for name, classes in CLASSES.items()}
TASKS: dict[str, HeadTaskSettings] = {
    name: task
    for name, task in with_heads(small_settings(TrainStageSettings).tasks).items()
    if name in CLASSES
}

EVERY_VOCABULARY = {  # a task of every kind with a head
    "answer": VOCABULARY["answer"],
    "tags": {"classes": ["cat", "dog", "emu"]},
    "size": {"mean": 10.0, "deviation": 4.0},
    "reply": {"classes": ["yes", "no", "2", "red"]},
    "caption": {"merges": ["Ġ a", "Ġ d", "Ġd o"], "max_tokens": 8, "decoding": "greedy"},
}
EVERY_TASK: dict[str, HeadTaskSettings] = {
    "answer": TASKS["answer"],
    "tags": MultilabelSettings(column="tags", sufficient_modalities=("image",)),
    "size": RegressionSettings(column="size"),
    "reply": VqaSettings(column="reply", answers=4),
    "caption": GenerationSettings(
        column="caption", sufficient_modalities=("image", "text"), vocab_size=260, max_tokens=8
    ),
}

FUSION_OPTIONS = {"bilinear": {"rank": 8}, "tensor": {"rank": 8}}  # others have small defaults
QUESTION = "what color is the circle?"
TABULAR_ROWS = [
    {"age": str(age), "breed": breed} for age in range(4) for breed in ("tabby", "siamese")
]


def fusion_settings(name: str) -> dict[str, Any]:
    """Return the setting `model.fusion` for a small fusion."""
    return {"kind": name, **FUSION_OPTIONS.get(name, {})}


def make_model(
    seed: int = 0,
    fusion: str = "bilinear",
    fresh: bool = False,
    every: bool = False,
    modalities: Sequence[str] = PRESENT,
    **changes,
) -> MultimodalModel:
    """Return a tiny model in evaluation mode: with fresh weights, or with all of them random.

    Its tasks are `TASKS`, or those of `EVERY_TASK`.
    """
    tasks, vocabulary = (EVERY_TASK, EVERY_VOCABULARY) if every else (TASKS, VOCABULARY)
    changes = {"model.fusion": fusion_settings(fusion), **changes}
    return build_model(tasks, vocabulary, seed, fresh, modalities, **changes)


def build_model(
    tasks: Mapping[str, TaskSettings],
    vocabulary: Mapping[str, Vocabulary],
    seed: int = 0,
    fresh: bool = False,
    modalities: Sequence[str] = PRESENT,
    experts: Mapping[str, Mapping[str, tuple[str, ...]]] | None = None,
    **changes,
) -> MultimodalModel:
    """Return a tiny model of any tasks, see `make_model`; `changes` are keys of params.yaml.

    `experts` are the tasks of heads over features, by modality and part.
    """
    settings = small_settings(TrainStageSettings, changes)
    config = model_config(
        modalities=modalities,
        inputs=settings.preprocess,
        encoders=settings.features,
        embed_dim=small_params(changes)["align"]["embed_dim"],
        model=settings.model,
        tasks=tasks,
        vocabulary=vocabulary,
        descriptions={},
        experts=experts,
    )
    torch.manual_seed(seed)
    model = MultimodalModel(config)
    for parameter in () if fresh else model.parameters():  # those that start at zero too
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def make_tasks(
    tasks: Mapping[str, HeadTaskSettings] = TASKS, vocabulary: Mapping[str, Vocabulary] = VOCABULARY
) -> dict[str, Task]:
    """Return tasks with their vocabulary, as heads learn them."""
    return {name: head_of(task.kind)(**vocabulary[name]) for name, task in tasks.items()}


def make_processors(modalities: Sequence[str] = PRESENT, text: str = QUESTION) -> dict[str, Any]:
    """Return the state of each processor; the tokenizer is trained on one text."""
    return {m: json.loads(_processor_state(m, text)) for m in modalities}


@cache
def _processor_state(modality: str, text: str) -> str:
    settings = small_settings(TrainStageSettings)
    inputs: Any = settings.preprocess[modality]
    if modality == "text":
        tokenizer = train_tokenizer([text], inputs.vocab_size)
        tokens = json.loads(tokenizer.to_str())
        return json.dumps({"max_tokens": inputs.max_tokens, "tokenizer": tokens})
    if modality == "tabular":
        columns = describe(TABULAR_ROWS, inputs)
        return json.dumps({"columns": [column.to_json() for column in columns]})
    nowhere = Path()  # neither reads a file
    encoder = settings.features[modality].encoder
    preparation = Preparation(inputs, encoder, pretrained=nowhere, media=nowhere)
    return json.dumps(processing_of(modality).prepare(preparation))


def make_inputs(count: int, seed: int = 0) -> dict[str, dict[str, Tensor]]:
    """Return what the processors would give for `count` random assets of each modality."""
    settings: Any = small_settings(TrainStageSettings).preprocess
    image, text, audio, tabular = (settings[m] for m in MODALITIES)
    g = torch.Generator().manual_seed(seed)
    words, frames = text.max_tokens, audio.frames
    lengths = torch.randint(1, words + 1, (count,), generator=g)
    tokens = torch.randint(2, text.vocab_size, (count, words), generator=g)
    spoken = torch.randint(frames // 4, frames + 1, (count,), generator=g)
    mels = torch.randn(count, audio.n_mels, frames, generator=g)
    cells = count, 2, 4  # of two columns
    shape = count, 3, image.size, image.size
    return {
        "image": {"pixels": torch.randint(0, 256, shape, generator=g, dtype=torch.uint8)},
        "text": {
            "tokens": tokens * (torch.arange(words) < lengths[:, None]),
            "lengths": lengths,
        },
        "audio": {
            "mels": mels * (torch.arange(frames) < spoken[:, None])[:, None],
            "lengths": spoken,
        },
        "tabular": {
            "entries": torch.randint(0, tabular.vocab_size, cells, generator=g),
            "weights": torch.rand(cells, generator=g),
        },
    }


def ids_of(modality: str, count: int) -> list[str]:
    """Return ids for `count` assets."""
    return [content_id(f"{modality} {n}".encode()) for n in range(count)]


def make_assets(count: int, model: MultimodalModel | None = None) -> dict[str, AssetTensors]:
    """Return `make_inputs` as assets; with a model, the features that its encoders give."""
    inputs = make_inputs(count)
    if model is not None:
        every, modalities = torch.arange(count), model.config.modalities
        inputs = {m: encode(model.encoder(m), inputs[m], every).to_tensors() for m in modalities}
    return {m: AssetTensors(tuple(ids_of(m, count)), tensors) for m, tensors in inputs.items()}


def write_assets(folder: Path, media: Path, modality: str, tensors: Mapping[str, Tensor]) -> None:
    """Write the tensors of all assets of a modality as the shard set that a stage would leave.

    Args:
        folder: of the shard set.
        media: a folder for the media shard set that it belongs to.
        modality: of the assets.
        tensors: as those of `make_assets`.
    """
    count = len(next(iter(tensors.values())))
    writer = MediaWriter(media)
    for number in range(count):
        content = f"{modality} {number}".encode()
        writer.add(Asset(content_id(content), content))
    writer.close()

    def convert(shard, path):
        rows = [int(content.split()[1]) for content in read_media(media, shard)]
        save_file({name: value[rows] for name, value in tensors.items()}, path)

    transform(media, folder, convert, [], 1, "test")


def make_table(count: int, assets: int, seed: int = 0, missing: float = 0.3) -> pd.DataFrame:
    """Return random samples over so many assets per modality; some lack modalities.

    All have those of `PRESENT` at most. Labels that one modality decides follow from its asset;
    answers are arbitrary.
    """
    g = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, assets, (count, 3), generator=g)
    lost = torch.rand(count, 3, generator=g) < missing
    lost[torch.arange(count), torch.randint(0, 3, (count,), generator=g)] = False
    answers = torch.randint(0, 3, (count,), generator=g).tolist()
    table: dict[str, Any] = {"sample_id": [f"{n:04d}" for n in range(count)]}
    table["split"] = ["train", "validation", "test"] * (count // 3) + ["train"] * (count % 3)
    table |= {asset_column(m): None for m in MODALITIES}
    for place, m in enumerate(PRESENT):
        ids = ids_of(m, assets)
        table[asset_column(m)] = [
            None if gone else ids[row]
            for row, gone in zip(rows[:, place].tolist(), lost[:, place].tolist(), strict=True)
        ]
    table["answer"] = [CLASSES["answer"][n] for n in answers]
    table["shape"] = [CLASSES["shape"][row % 2] for row in rows[:, 0].tolist()]
    table["question_type"] = [CLASSES["question_type"][n % 2] for n in range(count)]
    return pd.DataFrame(table, dtype="str")


def label_every_task(table: pd.DataFrame, assets: int, seed: int = 0) -> pd.DataFrame:
    """Return `make_table`'s samples with labels of `EVERY_TASK`; tags follow from the image."""
    g = torch.Generator().manual_seed(seed)
    places = {asset: place for place, asset in enumerate(ids_of("image", assets))}
    numbers = torch.randint(0, 4, (len(table),), generator=g).tolist()
    answers = [(EVERY_VOCABULARY["reply"]["classes"][n],) * 7 + ("dunno",) * 3 for n in numbers]
    tags = [
        tuple(t for bit, t in enumerate(EVERY_VOCABULARY["tags"]["classes"]) if place >> bit & 1)
        for place in table["image_id"].map(places).fillna(0).astype(int)
    ]
    size = (10 + 4 * torch.randn(len(table), generator=g)).tolist()
    captions = [(f"a {'dog'[: n % 4]}", "a b c d")[: 1 + n % 2] for n in numbers]
    return table.assign(tags=tags, size=size, reply=answers, caption=captions)
