"""Training throughput against the textbook loop.

The textbook loop is what a tutorial writes: a `Dataset` that for each question opens and decodes
the PNG and the WAV and computes the spectrogram, a `DataLoader` with batches of 32, the model
called on the batch. Both loops train the same model with the same losses and optimizer on the same
questions, each in one process with the same number of threads. They run alternately, and the ratio
is taken within a repetition.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import soundfile
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchaudio.transforms import MelSpectrogram
from torchvision.transforms.v2 import functional as vision

from benchmarks.figures import REPORTED, Comparison, Figure
from benchmarks.training import (
    MODES,
    fresh_model,
    read_data,
    read_project_samples,
    read_settings,
)
from components.common.files import read_json
from components.data.batches import Samples
from components.data.samples import SPLIT, asset_column
from components.data.shards import read_assets
from components.modalities.audio.modality import AudioSettings
from components.modalities.audio.processing import MIN_POWER
from components.modalities.registry import processing_of
from components.model.multimodal import MultimodalModel
from components.tasks.registry import with_heads
from components.train.joint_training import JointTraining, drop_modalities
from components.train.settings import TrainStageSettings
from components.training.checkpoint import Checkpoint

SECONDS = 10.0  # of one loop in one repetition
REPETITIONS = 3  # of both loops
BATCH_SIZE = 32
SUFFIX = {"image": "png", "text": "txt", "audio": "wav"}

Steps = Iterator[tuple[int, dict[str, Tensor]]]  # endless: samples of a batch, its losses


class Textbook(Dataset):
    """One training sample per item; everything is read, decoded and computed anew.

    `files` is a folder with the media, `<asset id>.<suffix>`.
    """

    def __init__(
        self, project: Path, settings: TrainStageSettings, model: MultimodalModel, files: Path
    ):
        table = training_samples(project)
        self.rows, self.files = table.to_dict("records"), files
        self.targets = {
            name: model.tasks[name].targets(table[task.column])
            for name, task in with_heads(settings.tasks).items()
        }
        self.text = processing_of("text").build(read_json(project / "data/processors/text.json"))
        audio: AudioSettings = settings.preprocess["audio"]
        self.frames = audio.frames
        self.mel = MelSpectrogram(
            audio.sample_rate, audio.n_fft, hop_length=audio.hop_length, n_mels=audio.n_mels
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        """Return inputs of every modality, and the target of every task."""
        row = self.rows[index]
        path = {m: self.files / f"{row[asset_column(m)]}.{SUFFIX[m]}" for m in SUFFIX}
        with Image.open(path["image"]) as image:
            pixels = vision.pil_to_tensor(image.convert("RGB"))
        text = self.text([path["text"].read_bytes()])
        inputs = {
            "image": {"pixels": pixels},
            "text": {name: torch.as_tensor(value[0]) for name, value in text.items()},
            "audio": self._spectrogram(path["audio"]),
        }
        return {"inputs": inputs, "targets": {n: t[index] for n, t in self.targets.items()}}

    def _spectrogram(self, path: Path) -> dict[str, Tensor]:
        wave, _ = soundfile.read(path, dtype="float32")
        mel = self.mel(torch.from_numpy(wave)).clamp(min=MIN_POWER).log()[:, : self.frames]
        mel = (mel - mel.mean()) / (mel.std() + 1e-5)
        padded = F.pad(mel, (0, self.frames - mel.shape[1]))
        return {"mels": padded, "lengths": torch.tensor(mel.shape[1])}


def unpack_media(project: Path, folder: Path) -> None:
    """Write the media of training samples as files, as a textbook's data set has them."""
    table = training_samples(project)
    for m, suffix in SUFFIX.items():
        wanted = set(table[asset_column(m)])
        for asset, content in read_assets(project / "data/media" / m, wanted):
            (folder / f"{asset}.{suffix}").write_bytes(content)


def textbook_steps(
    project: Path, settings: TrainStageSettings, model: MultimodalModel, files: Path
) -> Steps:
    """Yield steps of the textbook loop over the training samples, whose media are in `files`."""
    for m in model.config.modalities:
        if settings.train.is_frozen(m):
            model.encoder(m).eval()
    data = Textbook(project, settings, model, files)
    while True:
        for batch in DataLoader(data, BATCH_SIZE, shuffle=True):
            size = len(next(iter(batch["targets"].values())))
            rows = {m: torch.arange(size) for m in model.config.modalities}
            samples = Samples(rows, batch["targets"])
            samples = drop_modalities(model, samples, settings.train.modality_dropout)
            logits = model(model.encode(batch["inputs"]), samples.rows)
            losses = {
                name: model.tasks[name].loss(logits[name], targets)
                for name, targets in samples.targets.items()
            }
            yield size, losses


def project_steps(project: Path, settings: TrainStageSettings, model: MultimodalModel) -> Steps:
    """Yield steps of the train stage."""
    checkpoint = Checkpoint(project / "none", "")  # neither read nor written
    run = JointTraining(read_data(project, settings, model), settings.seed, checkpoint)
    while True:
        for batch in run.batches():
            (whole,) = run.micro_batches(batch, 1)
            yield len(batch.index), run.losses(whole.batch)


def training_samples(project: Path) -> pd.DataFrame:
    """Return the samples of the training split."""
    samples = read_project_samples(project)
    return samples[samples[SPLIT] == "train"]


def rate(model: MultimodalModel, steps: Steps) -> float:
    """Return samples per second: forward, backward and AdamW, from the second step on."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)  # as the stages have it
    count, started = 0, None
    for size, losses in steps:
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        if started is None:
            started = time.perf_counter()
            continue
        count += size
        if time.perf_counter() - started > SECONDS:
            break
    return count / (time.perf_counter() - started)


def measure(project: Path, mode: str, files: Path) -> Comparison:
    """Compare samples per second of both loops, with all encoders frozen or finetuned."""
    settings = read_settings(project, encoders=MODES[mode])
    rates = []
    for _ in range(REPETITIONS):
        model = fresh_model(project, settings)
        own = rate(model, project_steps(project, settings, model))
        model = fresh_model(project, settings)
        rates.append((own, rate(model, textbook_steps(project, settings, model, files))))
    return Comparison.of(rates)


def figures(project: Path) -> Iterator[Figure]:
    """Yield the rows of the table."""
    with TemporaryDirectory() as folder:
        unpack_media(project, Path(folder))
        for mode in MODES:
            found = measure(project, mode, Path(folder))
            rates = f"{found.value:.0f} samples/s against {found.reference:.0f}"
            bar = "≥ 20 ×" if mode == "frozen" else REPORTED
            name = f"training against the textbook loop, encoders {mode}"
            yield Figure(name, f"{found.ratio:.1f} × ({rates})", bar)
