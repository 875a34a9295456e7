"""Training throughput against the textbook loop.

The textbook loop is what a tutorial writes: a `Dataset` that for each question opens and decodes
the PNG and the WAV and computes the spectrogram, a `DataLoader` with batches of 32, the model
called on the batch. Both loops train the same model with the same losses and optimiser on the
same questions, in one process each with the same number of threads; they take turns, and the
ratio is taken within a turn.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import soundfile
import torch
from components.modalities.registry import MODALITIES
from PIL import Image
from tokenizers import Tokenizer
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchaudio.transforms import MelSpectrogram
from torchvision.transforms.v2 import functional as vision

from components.common.files import read_json
from components.config.settings import Settings
from components.data.assets import MISSING
from components.data.batch import Samples
from components.data.shards import media_of
from components.data.tables import SAMPLES, read_table
from components.modalities.audio.spectrogram import FLOOR
from components.modalities.text.processing import TextProcessor
from components.model.multimodal import MultimodalModel
from components.tasks.task_kinds import with_heads
from components.train.__main__ import build
from components.train.data import batches, prepare
from components.train.objective import draw, losses, share, task_losses
from components.training.determinism import make_deterministic
from components.training.settings import EncoderModes

BATCH = 32
SECONDS = 10.0  # of one loop in one turn
TURNS = 3
Steps = Iterator[tuple[int, dict[str, torch.Tensor]]]  # endless: samples of a batch, its losses
SUFFIX = {"image": "png", "text": "txt", "audio": "wav"}


class Textbook(Dataset):
    """A question an item, everything read, decoded and computed anew."""

    def __init__(
        self, table: pd.DataFrame, files: Path, settings: Settings, model: MultimodalModel
    ):
        self.rows = table.to_dict("records")
        self.files, self.tasks = files, with_heads(settings.tasks)
        tokenizer = Tokenizer.from_file("data/tokenizer.json")
        self.text = TextProcessor(settings.preprocess.text, tokenizer)
        audio = settings.preprocess.audio
        self.frames = audio.frames
        self.mel = MelSpectrogram(
            audio.sample_rate, audio.window, hop_length=audio.hop, n_mels=audio.mels
        )
        self.codes = {task: kind.codes for task, kind in model.kinds.items()}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        """Inputs of every modality, and the class of every task."""
        row = self.rows[index]
        path = {m: self.files / f"{row[f'{m}_id']}.{SUFFIX[m]}" for m in MODALITIES}
        with Image.open(path["image"]) as image:
            pixels = vision.pil_to_tensor(image.convert("RGB"))
        text = self.text([path["text"].read_bytes()])
        targets = {
            name: self.codes[name].get(row[task.column], MISSING)
            for name, task in self.tasks.items()
        }
        inputs = {
            "image": {"pixels": pixels},
            "text": {name: torch.as_tensor(value[0]) for name, value in text.items()},
            "audio": self._sound(path["audio"]),
        }
        return {"inputs": inputs, "targets": targets}

    def _sound(self, path: Path) -> dict[str, torch.Tensor]:
        wave, _ = soundfile.read(path, dtype="float32")
        mel = self.mel(torch.from_numpy(wave)).clamp(min=FLOOR).log()[:, : self.frames]
        mel = (mel - mel.mean()) / (mel.std() + 1e-5)
        padded = F.pad(mel, (0, self.frames - mel.shape[1]))
        return {"mels": padded, "lengths": torch.tensor(mel.shape[1])}


def unpack(folder: Path, table: pd.DataFrame) -> None:
    """The media of the samples as files, as a textbook data set has them."""
    for m in MODALITIES:
        wanted = set(table[f"{m}_id"])
        for asset, content in media_of(Path("data/media") / m, wanted):
            (folder / f"{asset}.{SUFFIX[m]}").write_bytes(content)


def start(settings: Settings, vocabulary: dict) -> MultimodalModel:
    """The model as the train stage starts it."""
    make_deterministic(settings.seed, settings.threads)
    encoders = {m: Path(f"models/encoders/{m}.safetensors") for m in MODALITIES}
    projections = Path("models/projections.safetensors")
    return build(settings, vocabulary, MODALITIES, encoders, projections).train()


def textbook_steps(
    settings: Settings, model: MultimodalModel, table: pd.DataFrame, files: Path
) -> Steps:
    """The textbook loop over the training samples of `table`, whose media lie in `files`."""
    for m in settings.train.frozen:
        model.encoders[m].eval()
    data = Textbook(table[table["split"] == "train"], files, settings, model)
    dropout = settings.train.modality_dropout
    while True:
        for batch in DataLoader(data, BATCH, shuffle=True):
            size = len(batch["targets"]["answer"])
            rows = {m: torch.arange(size) for m in MODALITIES}
            samples = draw(model, Samples(rows, batch["targets"]), dropout)
            logits = model(model.encode(batch["inputs"]), samples.rows)
            yield size, task_losses(model, samples, logits)


def our_steps(settings: Settings, model: MultimodalModel, table: pd.DataFrame) -> Steps:
    """The train stage's own loop."""
    tensors, features = (
        {m: Path("data") / kind / m for m in MODALITIES} for kind in ("tensors", "features")
    )
    course = prepare(settings, table, model, tensors, features)
    while True:
        for index in batches(course):
            (whole,) = share(course, index, 1)
            yield len(index), losses(course, whole.batch)


def rate(model: MultimodalModel, steps: Steps, seconds: float) -> float:
    """Samples a second: forward, backward and AdamW, from the second step on."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, fused=True)  # as the stages have it
    count, started = 0, None
    for size, batch_losses in steps:
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(batch_losses.values())).sum().backward()
        optimiser.step()
        if started is None:
            started = time.perf_counter()
            continue
        count += size
        if time.perf_counter() - started > seconds:
            return count / (time.perf_counter() - started)
    raise AssertionError("steps are endless")


def measure(settings: Settings) -> dict[str, dict[str, float]]:
    """By mode of the encoders: samples a second of both loops, and the median ratio."""
    table = read_table(Path("data/samples.parquet"), SAMPLES)
    vocabulary = read_json(Path("data/vocabulary.json"))
    result = {}
    with tempfile.TemporaryDirectory() as name:
        files = Path(name)
        unpack(files, table[table["split"] == "train"])
        for mode in ("frozen", "finetune"):
            modes = EncoderModes(**dict.fromkeys(MODALITIES, mode))
            train = settings.train.model_copy(update={"encoders": modes})
            chosen = settings.model_copy(update={"train": train})
            turns = []
            for _ in range(TURNS):
                model = start(chosen, vocabulary)
                ours = rate(model, our_steps(chosen, model, table), SECONDS)
                model = start(chosen, vocabulary)
                textbook = rate(model, textbook_steps(chosen, model, table, files), SECONDS)
                turns.append((ours, textbook))
            result[mode] = {
                "ours": statistics.median(ours for ours, _ in turns),
                "textbook": statistics.median(textbook for _, textbook in turns),
                "ratio": statistics.median(ours / textbook for ours, textbook in turns),
            }
    return result
