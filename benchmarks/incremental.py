"""One row more in a hundred: preprocessing and features again, against all of it from nothing.

Each group of rows is a photograph with five captions and a sound, about as many as Flickr30k has;
the encoders and the tokenizer are pretrained. The commands of the six stages run one after the
other, as `dvc repro` runs them. New groups lie at the end of the source, or at random places in it.
"""

import io
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import soundfile
import torch
import yaml
from components.modalities.registry import MODALITIES, Modality
from safetensors.torch import save_file

from benchmarks.preprocess import DISTINCT, SIZE, photograph, told_apart
from components.common.files import write_json
from components.common.hashing import content_id
from components.config.load import load_settings
from components.data.shards import Asset, MediaWriter, read_index
from components.data.tables import SAMPLES, write_table
from components.modalities.encoders import build_encoder
from components.modalities.text.processing import train_tokenizer

GROUPS = 24_576
MORE = 0.01
ASSETS = {"image": 1, "text": 5, "audio": 1}  # of a group
RATE = 22_050  # Hz
HEADER = 44  # bytes before the samples of a WAV file
STAGES = [f"{step}_{modality}" for step in ("preprocess", "features") for modality in MODALITIES]
SETTINGS = {  # beside those that are shipped; photographs and captions are larger than the demo's
    "preprocess": {
        "image": {"size": SIZE},
        "text": {"tokenizer": "tokenizer.json", "vocabulary": 8_192, "max_tokens": 32},
        "audio": {"sample_rate": RATE},
    },
    "features": {m: {"pretrained": f"{m}.safetensors", "width": 128} for m in MODALITIES},
}


@dataclass(frozen=True)
class Growth:
    """What it costs when data are added.

    Attributes:
        seconds: by stage, with what was there before.
        whole: by stage, from nothing.
        touched: the share of the work that lies in shards with a change: a modality's share of
            shards, weighted with the time that it takes from nothing.
        same: whether both left the same bytes.
    """

    seconds: dict[str, float]
    whole: dict[str, float]
    touched: float
    same: bool

    @property
    def share(self) -> float:
        """The time of all stages, against that from nothing."""
        return sum(self.seconds.values()) / sum(self.whole.values())


@cache
def photographs() -> list[bytes]:
    return [photograph(seed) for seed in range(DISTINCT)]


@cache
def sounds() -> list[bytes]:
    """WAV files of noise, 1 to 3 seconds long."""
    made = []
    for seed in range(DISTINCT):
        random = np.random.default_rng(seed)
        file = io.BytesIO()
        noise = random.normal(scale=0.1, size=random.integers(RATE, 3 * RATE))
        soundfile.write(file, noise, RATE, format="WAV", subtype="PCM_16")
        made.append(file.getvalue())
    return made


@cache
def words() -> list[str]:
    """2,744 words of three syllables."""
    syllables = [a + b for a, b in product("bdfklmn", "ai")]
    return ["".join(parts) for parts in product(syllables, repeat=3)]


def content(modality: Modality, number: int) -> bytes:
    """The file of an asset; no two are the same."""
    if modality == "image":
        return told_apart(photographs()[number % DISTINCT], number)
    if modality == "audio":
        wav = sounds()[number % DISTINCT]
        return wav[:HEADER] + number.to_bytes(4, "little") + wav[HEADER + 4 :]
    random = np.random.default_rng(number)
    chosen = random.choice(words(), random.integers(5, 25))
    return f"{number} {' '.join(chosen)}".encode()


def write_data(folder: Path, groups: Sequence[int]) -> None:
    """What the ingest stage leaves of these groups, in this order."""
    ids = {}
    for modality in MODALITIES:
        writer, count = MediaWriter(folder / f"data/media/{modality}"), ASSETS[modality]
        each = []
        for number in (group * count + place for group in groups for place in range(count)):
            asset = content(modality, number)
            each.append(content_id(asset))
            writer.add(Asset(each[-1], asset))
        writer.close()
        ids[f"{modality}_id"] = np.repeat(each, max(ASSETS.values()) // count)
    samples = pd.DataFrame(ids).assign(split="train")
    samples.insert(0, "sample_id", [str(row) for row in range(len(samples))])
    write_table(folder / "data/samples.parquet", samples, SAMPLES)
    write_json(folder / "data/vocabulary.json", {})


def write_project(folder: Path, project: Path, groups: int) -> None:
    """Settings, encoders and a tokenizer."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["workers"] = os.cpu_count()
    for step, modality in product(SETTINGS, MODALITIES):
        params[step][modality] |= SETTINGS[step][modality]
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    settings = load_settings(folder / "params.yaml")
    torch.manual_seed(0)
    for modality in MODALITIES:
        (folder / "pretrained" / modality).mkdir(parents=True)
        encoder = build_encoder(modality, settings.preprocess, settings.features)
        save_file(encoder.state_dict(), folder / f"pretrained/{modality}/{modality}.safetensors")
    texts = (content("text", number).decode() for number in range(groups))
    tokenizer = train_tokenizer(texts, settings.preprocess.text)
    tokenizer.save(str(folder / "pretrained/text/tokenizer.json"))


def run(folder: Path, project: Path, stages: Sequence[str]) -> dict[str, float]:
    """Run stages in a folder; seconds of each."""
    commands = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONPATH": str(project.resolve()), "PATH": path}
    seconds = {}
    for stage in stages:
        began = time.perf_counter()
        subprocess.run(
            commands[stage]["cmd"],
            shell=True,
            cwd=folder,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        seconds[stage] = time.perf_counter() - began
    return seconds


def linked(source: Path, target: Path, *names: str) -> None:
    """The same files at another place: no stage edits one in place."""
    for name in names:
        shutil.copytree(source / name, target / name, copy_function=os.link)
    shutil.copy(source / "params.yaml", target)


def files(folder: Path) -> dict[str, str]:
    """The hash of each file below a folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): content_id(path.read_bytes()) for path in found}


def touched(before: Path, after: Path, seconds: dict[str, float]) -> float:
    """See `Growth`."""
    work = 0.0
    for modality in MODALITIES:
        old, new = (
            {shard.name for shard in read_index(folder / f"data/media/{modality}")}
            for folder in (before, after)
        )
        share = len(new - old) / len(new)
        work += share * sum(taken for stage, taken in seconds.items() if stage.endswith(modality))
    return work / sum(seconds.values())


def grow(before: Path, project: Path, groups: Sequence[int]) -> Growth:
    """Add data to a folder in which all stages ran, and make the same from nothing."""
    with TemporaryDirectory(dir=before.parent) as name:
        after, fresh = Path(name) / "after", Path(name) / "fresh"
        after.mkdir(), fresh.mkdir()
        linked(before, after, "data", "models", "pretrained", "reports")
        write_data(after, groups)
        linked(after, fresh, "data/media", "pretrained")
        for file in ("samples.parquet", "vocabulary.json"):
            shutil.copy(after / "data" / file, fresh / "data")
        seconds, whole = (run(folder, project, STAGES) for folder in (after, fresh))
        return Growth(seconds, whole, touched(before, after, whole), files(after) == files(fresh))


def measure(project: Path, groups: int = GROUPS) -> dict[str, Growth]:
    """Growth by a hundredth, at the end and at random places."""
    numbers = np.arange(groups)
    new = np.arange(groups, groups + round(MORE * groups))
    places = np.random.default_rng(0).integers(0, groups + 1, len(new))
    orders = {
        "appended": np.concatenate([numbers, new]).tolist(),
        "spread at random": np.insert(numbers, places, new).tolist(),
    }
    with TemporaryDirectory() as name:
        before = Path(name) / "before"
        before.mkdir()
        write_project(before, project, groups)
        write_data(before, numbers.tolist())
        run(before, project, STAGES)
        return {kind: grow(before, project, order) for kind, order in orders.items()}
