"""Stage `features_audio`: the audio encoder and the features it gives."""

import argparse
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from torchaudio.transforms import FrequencyMasking, TimeMasking

from components.common.files import read_json
from components.config.command import Stage, View
from components.data.assets import AssetTensors
from components.data.tables import SAMPLES, read_table
from components.features import teach
from components.features.words import Words, most_frequent, words_of
from components.modalities.audio.encoders.build import build_audio

STAGE = Stage(
    description="Teach the audio encoder what is said and the tasks that sound decides, or if "
    "nothing says so by self-supervision; encode every sound.",
    inputs={**teach.INPUTS, "texts": "folder, the media shard set of text: what the sounds say"},
    outputs=teach.OUTPUTS,
    params=("seed", "threads", "tasks", "preprocess.audio", "features.audio"),
)

MANY_TEXTS = 1_000  # different texts in training, from which on words are learnt instead


def transcript_objective(
    assets: AssetTensors, samples: pd.DataFrame, texts: Path, weight: float
) -> teach.Objective:
    """What a sound says: it teaches what is said, not by whom.

    Where training says few different texts, the encoder learns which of them it hears; where it
    says many, which of their most frequent words.

    Args:
        assets: the sounds.
        samples: the samples.
        texts: the media shard set of text.
        weight: of the loss.
    """
    pairs = samples[["audio_id", "text_id", "split"]].dropna().drop_duplicates("audio_id")
    said = pairs.set_index("audio_id")["text_id"]
    learnt = sorted(pairs.loc[pairs["split"] == "train", "text_id"].unique())
    if len(learnt) <= MANY_TEXTS:
        codes = {text: code for code, text in enumerate(learnt)}
        return teach.Objective(teach.targets_of(assets, said.map(codes)), len(learnt), weight)
    by_text = words_of(texts, set(said))
    kind = Words(classes=most_frequent(learnt, by_text))
    targets = kind.targets(said.map(by_text).reindex(list(assets.ids)))
    return teach.Objective(targets, kind.outputs, weight, Words)


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


def lesson(arguments: argparse.Namespace, settings: View, encoder: nn.Module) -> teach.Lesson:
    """What a sound decides and what is said in it, or else what two views of it share."""
    samples = read_table(arguments.samples, SAMPLES)
    vocabulary = read_json(arguments.vocabulary)
    assets, rows = teach.load(arguments, samples, "audio")
    objectives = teach.task_objectives("audio", assets, samples, settings.tasks, vocabulary)
    transcript = transcript_objective(assets, samples, arguments.texts, 1.0)
    known = transcript.kind.known(transcript.targets[rows["train"]])
    if transcript.outputs and known.any():
        objectives["transcript"] = transcript
    inputs, options = settings.preprocess_audio, settings.features_audio
    augment = Augment(inputs.mels, inputs.frames)
    labelled = teach.Lesson("audio", encoder, assets, rows, objectives, options, augment)
    return labelled if objectives else teach.by_views(labelled, augment)


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    teach.run("audio", STAGE, build_audio, lesson, arguments, settings)


if __name__ == "__main__":
    STAGE.run(work)
