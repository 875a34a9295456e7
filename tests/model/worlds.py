"""A small world of random assets, and a model of it."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import torch
from components.modalities.registry import MODALITIES, Modality
from safetensors.torch import save_file

from components.common.hashing import content_id
from components.data.assets import AssetTensors
from components.data.shards import Asset, MediaWriter, read_media, transform
from components.layers.features import encode, tensors_of
from components.model.multimodal import ModelConfig, MultimodalModel
from components.tasks.settings import TaskSettings
from components.tasks.task_kinds import KINDS
from tests.shrunk import small_settings

CLASSES = {"answer": ["a", "b", "c"], "shape": ["x", "y"], "question_type": ["p", "q"]}
VOCABULARY = {name: {"classes": classes} for name, classes in CLASSES.items()}
TASKS = {name: task for name, task in small_settings().tasks.items() if name in CLASSES}
KINDS_OF = {name: KINDS[task.kind](**VOCABULARY[name]) for name, task in TASKS.items()}

EVERY_VOCABULARY = {  # a task of every kind
    "answer": VOCABULARY["answer"],
    "tags": {"classes": ["cat", "dog", "emu"]},
    "size": {"mean": 10.0, "deviation": 4.0},
    "reply": {"classes": ["yes", "no", "2", "red"]},
    "caption": {"merges": ["Ġ a", "Ġ d", "Ġd o"], "max_tokens": 8, "decoding": "greedy"},
}
EVERY_TASK = {
    "answer": TASKS["answer"],
    "tags": TaskSettings(kind="multilabel", column="tags", decided_by=("image",), weight=1.0),
    "size": TaskSettings(kind="regression", column="size", decided_by=(), weight=1.0),
    "reply": TaskSettings(kind="vqa", column="reply", decided_by=(), weight=1.0, answers=4),
    "caption": TaskSettings(
        kind="generation",
        column="caption",
        decided_by=("image", "text"),
        weight=1.0,
        vocabulary=260,
        max_tokens=8,
        decoding="greedy",
    ),
}


def make_model(
    seed: int = 0,
    fusion: str = "bilinear",
    fresh: bool = False,
    every: bool = False,
    learnt: tuple[Modality, ...] = MODALITIES,
    **changes,
) -> MultimodalModel:
    """A tiny model in evaluation mode: with fresh weights, or with all of them random.

    Its tasks are `TASKS`, or those of `EVERY_TASK`.
    """
    settings = small_settings({"model.fusion": fusion, **changes})
    settings = settings.model_copy(update={"tasks": EVERY_TASK if every else TASKS})
    torch.manual_seed(seed)
    vocabulary = EVERY_VOCABULARY if every else VOCABULARY
    model = MultimodalModel(ModelConfig.of(settings, vocabulary, learnt))
    for parameter in () if fresh else model.parameters():  # those that start at zero too
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def make_inputs(count: int, seed: int = 0) -> dict[str, dict[str, torch.Tensor]]:
    """What the processors would give for `count` random assets of each modality."""
    settings = small_settings().preprocess
    g = torch.Generator().manual_seed(seed)
    size, words, frames = settings.image.size, settings.text.max_tokens, settings.audio.frames
    lengths = torch.randint(1, words + 1, (count,), generator=g)
    tokens = torch.randint(2, settings.text.vocabulary, (count, words), generator=g)
    spoken = torch.randint(frames // 4, frames + 1, (count,), generator=g)
    mels = torch.randn(count, settings.audio.mels, frames, generator=g)
    return {
        "image": {
            "pixels": torch.randint(0, 256, (count, 3, size, size), generator=g, dtype=torch.uint8)
        },
        "text": {
            "tokens": tokens * (torch.arange(words) < lengths[:, None]),
            "lengths": lengths,
        },
        "audio": {
            "mels": mels * (torch.arange(frames) < spoken[:, None])[:, None],
            "lengths": spoken,
        },
    }


def ids_of(modality: str, count: int) -> list[str]:
    """Ids for `count` assets."""
    return [content_id(f"{modality} {n}".encode()) for n in range(count)]


def make_assets(count: int, model: MultimodalModel | None = None) -> dict[str, AssetTensors]:
    """`make_inputs` as assets; with a model, the features that its encoders give."""
    inputs = make_inputs(count)
    if model is not None:
        rows = torch.arange(count)
        inputs = {m: tensors_of(encode(model.encoders[m], inputs[m], rows)) for m in MODALITIES}
    return {m: AssetTensors(tuple(ids_of(m, count)), inputs[m]) for m in MODALITIES}


def write_assets(folder: Path, media: Path, modality: str, tensors: Mapping) -> None:
    """The tensors of all assets of a modality as the shard set that a stage would leave.

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
    """Random samples over so many assets a modality, some modalities and labels missing.

    Labels that one modality decides follow from its asset; answers are arbitrary.
    """
    g = torch.Generator().manual_seed(seed)
    rows = torch.randint(0, assets, (count, 3), generator=g)
    lost = torch.rand(count, 3, generator=g) < missing
    lost[torch.arange(count), torch.randint(0, 3, (count,), generator=g)] = False
    answers = torch.randint(0, 3, (count,), generator=g).tolist()
    table = {"sample_id": [f"{n:04d}" for n in range(count)]}
    table["split"] = ["train", "validation", "test"] * (count // 3) + ["train"] * (count % 3)
    for place, m in enumerate(MODALITIES):
        ids = ids_of(m, assets)
        table[f"{m}_id"] = [
            None if gone else ids[row]
            for row, gone in zip(rows[:, place].tolist(), lost[:, place].tolist(), strict=True)
        ]
    table["answer"] = [CLASSES["answer"][n] for n in answers]
    table["shape"] = [CLASSES["shape"][row % 2] for row in rows[:, 0].tolist()]
    table["question_type"] = [CLASSES["question_type"][n % 2] for n in range(count)]
    return pd.DataFrame(table, dtype="str")


def label_every_task(table: pd.DataFrame, assets: int, seed: int = 0) -> pd.DataFrame:
    """`make_table`'s samples with labels of `EVERY_TASK`; tags follow from the image."""
    g = torch.Generator().manual_seed(seed)
    places = {asset: place for place, asset in enumerate(ids_of("image", assets))}
    numbers = torch.randint(0, 4, (len(table),), generator=g).tolist()
    said = [(EVERY_VOCABULARY["reply"]["classes"][n],) * 7 + ("dunno",) * 3 for n in numbers]
    tags = [
        tuple(t for bit, t in enumerate(EVERY_VOCABULARY["tags"]["classes"]) if place >> bit & 1)
        for place in table["image_id"].map(places).fillna(0).astype(int)
    ]
    size = (10 + 4 * torch.randn(len(table), generator=g)).tolist()
    captions = [(f"a {'dog'[: n % 4]}", "a b c d")[: 1 + n % 2] for n in numbers]
    return table.assign(tags=tags, size=size, reply=said, caption=captions)
