"""Stage `features_audio`: the audio encoder and the features it gives."""

import argparse

import pandas as pd
import torch
from torchaudio.transforms import FrequencyMasking, TimeMasking

from components.config.command import Stage, View
from components.features import teach
from components.model.base.assets import MISSING, AssetTensors
from components.model.encoders.audio import AudioEncoder
from components.store.files import read_json
from components.store.tables import SAMPLES, read_table

STAGE = Stage(
    description="Teach the audio encoder what is said and the tasks that sound decides, or if "
    "nothing says so by self-supervision; encode every sound.",
    inputs=teach.INPUTS,
    outputs=teach.OUTPUTS,
    params=("seed", "threads", "tasks", "preprocess.audio", "features.audio"),
)


def transcript_objective(
    assets: AssetTensors, samples: pd.DataFrame, weight: float
) -> teach.Objective:
    """Which of the training texts a sound goes with: it teaches what is said, not by whom."""
    pairs = samples[["audio_id", "text_id"]].dropna().drop_duplicates("audio_id")
    texts = sorted(samples.loc[samples["split"] == "train", "text_id"].dropna().unique())
    codes = {text: code for code, text in enumerate(texts)}
    labels = pairs.set_index("audio_id")["text_id"].map(codes)
    return teach.Objective(teach.targets_of(assets, labels), len(texts), weight)


class Augment:
    """SpecAugment (Park et al. 2019) and shifts in time and in pitch."""

    def __init__(self, mels: int, frames: int):
        self._masks = torch.nn.Sequential(
            FrequencyMasking(mels // 8, iid_masks=True), TimeMasking(frames // 10, iid_masks=True)
        )
        self._time, self._pitch = frames // 12, mels // 16

    def __call__(self, batch: teach.Batch) -> teach.Batch:
        """`mels` [B, M, T] → the same, each clip changed in its own way."""
        mels, lengths = batch["mels"], batch["lengths"]
        size, bands, frames = mels.shape
        shift = torch.randint(0, self._time + 1, (size,))
        pitch = torch.randint(-self._pitch, self._pitch + 1, (size,))
        time = (torch.arange(frames) - shift[:, None]).clamp(min=0)  # [B, T]
        band = (torch.arange(bands) - pitch[:, None]).clamp(0, bands - 1)  # [B, M]
        shifted = mels.gather(2, time[:, None, :].expand_as(mels))
        shifted = shifted.gather(1, band[:, :, None].expand_as(mels))
        masked = self._masks(shifted[:, None]).squeeze(1)  # [B, M, T]
        return {"mels": masked, "lengths": (lengths + shift).clamp(max=frames)}


def lesson(arguments: argparse.Namespace, settings: View, encoder: AudioEncoder) -> teach.Lesson:
    """What a sound decides and what is said in it, or else what two views of it share."""
    samples = read_table(arguments.samples, SAMPLES)
    vocabulary = read_json(arguments.vocabulary)
    assets, rows = teach.load(arguments, samples, "audio")
    objectives = teach.task_objectives("audio", assets, samples, settings.tasks, vocabulary)
    transcript = transcript_objective(assets, samples, 1.0)
    if (transcript.targets[rows["train"]] != MISSING).any():
        objectives["transcript"] = transcript
    inputs, options = settings.preprocess_audio, settings.features_audio
    augment = Augment(inputs.mels, inputs.frames)
    labelled = teach.Lesson("audio", encoder, assets, rows, objectives, options, augment)
    return labelled if objectives else teach.by_views(labelled, augment)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    teach.run("audio", STAGE, AudioEncoder, lesson, arguments, settings)


if __name__ == "__main__":
    STAGE.run(work)
