"""One row more in a hundred: preprocessing and features again, against all of it from nothing.

Each group of rows is a photograph with five captions and a sound, about as many as Flickr30k has;
the encoders and the tokenizer are pretrained. The commands of the six stages run one after the
other, as `dvc repro` runs them. New groups are at the end of the source, or at random places in it.
"""

import io
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
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
from safetensors.torch import save_file

from benchmarks.figures import Figure
from benchmarks.preprocess import SQUARE, numbered_photograph
from benchmarks.stages import (
    SETTINGS,
    PipelineStage,
    link_files,
    make_pretrained,
    read_stages,
    run_commands,
)
from components.common.files import write_json
from components.common.hashing import content_id
from components.common.nested import merged
from components.data.samples import SAMPLE_ID, SPLIT, asset_column, samples_schema
from components.data.shards import Asset, MediaWriter, read_index
from components.data.tables import write_table
from components.modalities.registry import MODALITIES, encoders_of
from components.modalities.text.processing import train_tokenizer
from components.stage.settings import load_settings
from components.train.settings import TrainStageSettings

GROUPS = 24_576  # of rows, before new ones are added
MORE = 0.01  # new groups per group
PER_GROUP = {"image": 1, "text": 5, "audio": 1}  # assets
SOUNDS = 64  # different ones; the others differ in their first samples
VOCAB_SIZE, WIDTH = 8_192, 128  # of the tokenizer and of encoders: for more than the demo's data
RATE = 22_050  # Hz
HEADER = 44  # bytes before the samples of a WAV file
STEPS = ("preprocess", "features")
TOKENIZER = "tokenizer.json"
UNTRACKED = ("usage",)  # differs from run to run


@dataclass(frozen=True)
class Growth:
    """Cost of adding data."""

    seconds: float  # of all stages, with what was there before
    from_nothing: float  # seconds of all stages, without
    changed: float  # fraction of the work that is in shards with a change
    is_same: bool  # whether both left the same bytes


@cache
def sound(seed: int) -> bytes:
    """Return a WAV file of noise, 1 to 3 seconds long."""
    random = np.random.default_rng(seed)
    file = io.BytesIO()
    noise = random.normal(scale=0.1, size=random.integers(RATE, 3 * RATE))
    soundfile.write(file, noise, RATE, format="WAV", subtype="PCM_16")
    return file.getvalue()


@cache
def words() -> list[str]:
    """Return 2,744 words of three syllables."""
    syllables = [a + b for a, b in product("bdfklmn", "ai")]
    return ["".join(parts) for parts in product(syllables, repeat=3)]


def asset_content(modality: str, number: int) -> bytes:
    """Return the file of an asset; no two are the same."""
    if modality == "image":
        return numbered_photograph(number)
    if modality == "audio":
        wav = sound(number % SOUNDS)
        return wav[:HEADER] + number.to_bytes(4, "little") + wav[HEADER + 4 :]
    random = np.random.default_rng(number)
    chosen = random.choice(words(), random.integers(5, 25))
    return f"{number} {' '.join(chosen)}".encode()


def write_data(folder: Path, groups: Sequence[int]) -> None:
    """Write what the ingest stage leaves of these groups, in this order."""
    ids: dict = {asset_column(modality): None for modality in MODALITIES}
    for modality, count in PER_GROUP.items():
        writer, written = MediaWriter(folder / f"data/media/{modality}"), []
        for number in (group * count + place for group in groups for place in range(count)):
            content = asset_content(modality, number)
            written.append(content_id(content))
            writer.add(Asset(written[-1], content))
        writer.close()
        ids[asset_column(modality)] = np.repeat(written, max(PER_GROUP.values()) // count)
    samples = pd.DataFrame(ids).assign(**{SPLIT: "train"})
    samples.insert(0, SAMPLE_ID, [str(row) for row in range(len(samples))])
    write_table(folder / "data/samples.parquet", samples, samples_schema(MODALITIES))
    write_json(folder / "data/vocabulary.json", {})


def write_project(folder: Path, project: Path) -> None:
    """Write settings, encoders and a tokenizer."""
    text = {"tokenizer": TOKENIZER, "vocab_size": VOCAB_SIZE, "max_tokens": 32}
    changes = {
        "workers": os.cpu_count(),
        "preprocess": {"image": {"size": SQUARE}, "audio": {"sample_rate": RATE}, "text": text},
        "features": {m: {"pretrained": f"{m}.safetensors", "width": WIDTH} for m in PER_GROUP},
    }
    params = merged(yaml.safe_load((project / "params.yaml").read_text()), changes)
    (folder / SETTINGS).parent.mkdir()
    (folder / SETTINGS).write_text(yaml.safe_dump(params))
    settings = load_settings(folder / SETTINGS, TrainStageSettings)
    make_pretrained(folder)
    torch.manual_seed(0)
    for m in PER_GROUP:
        encoder = encoders_of(m).build(settings.preprocess[m], settings.features[m], None)
        save_file(encoder.state_dict(), folder / f"pretrained/{m}/{m}.safetensors")
    texts = (asset_content("text", number).decode() for number in range(GROUPS))
    train_tokenizer(texts, VOCAB_SIZE).save(str(folder / "pretrained/text" / TOKENIZER))


def stages() -> list[PipelineStage]:
    """Return the stages that are measured."""
    found = read_stages()
    return [found[f"{step}_{modality}"] for step in STEPS for modality in PER_GROUP]


def hashes(folder: Path) -> dict[Path, str]:
    """Return the hash of each tracked file below a folder."""
    return {
        path.relative_to(folder): content_id(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in UNTRACKED
    }


def changed_fraction(before: Path, after: Path, seconds: Mapping[str, float]) -> float:
    """Return the fraction of the work that is in shards with a change.

    Each modality's fraction of shards is weighted by the time that it takes from nothing.
    """
    work = 0.0
    for modality in PER_GROUP:
        old, new = (
            {shard.name for shard in read_index(folder / f"data/media/{modality}")}
            for folder in (before, after)
        )
        taken = sum(taken for stage, taken in seconds.items() if stage.endswith(modality))
        work += len(new - old) / len(new) * taken
    return work / sum(seconds.values())


def grow(before: Path, groups: Sequence[int]) -> Growth:
    """Add data to a folder in which all stages ran, and make the same from nothing."""
    with TemporaryDirectory(dir=before.parent) as name:
        after, fresh = Path(name) / "after", Path(name) / "fresh"
        after.mkdir(), fresh.mkdir()
        link_files(before, after, "data", "models", "pretrained", "reports")
        write_data(after, groups)
        link_files(after, fresh, "data/media", "pretrained")
        for file in ("samples.parquet", "vocabulary.json"):
            shutil.copy(after / "data" / file, fresh / "data")
        seconds, from_nothing = (run_commands(stages(), folder) for folder in (after, fresh))
        return Growth(
            seconds=sum(seconds.values()),
            from_nothing=sum(from_nothing.values()),
            changed=changed_fraction(before, after, from_nothing),
            is_same=hashes(after) == hashes(fresh),
        )


def spread(numbers: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return groups with new ones at random places."""
    places = np.random.default_rng(0).integers(0, len(numbers) + 1, len(new))
    return np.insert(numbers, places, new)


ORDERS = {"appended": np.append, "spread at random": spread}


def measure(project: Path) -> dict[str, Growth]:
    """Return the cost of growth by the place of the new groups."""
    numbers, new = np.arange(GROUPS), np.arange(GROUPS, GROUPS + round(MORE * GROUPS))
    with TemporaryDirectory() as name:
        before = Path(name) / "before"
        before.mkdir()
        write_project(before, project)
        write_data(before, numbers.tolist())
        run_commands(stages(), before)
        return {name: grow(before, order(numbers, new).tolist()) for name, order in ORDERS.items()}


def figures(project: Path) -> Iterator[Figure]:
    """Yield the rows of the table."""
    for order, found in measure(project).items():
        name = (
            f"preprocessing and features when {MORE:.0%} more rows are {order}, against all "
            "of it from nothing"
        )
        times = f"{found.seconds:.0f} s against {found.from_nothing:.0f} s"
        work = f"{found.changed:.1%} of the work is in changed shards"
        value = f"{found.seconds / found.from_nothing:.1%} ({times}; {work})"
        bar = "≤ 5 %" if order == "appended" else f"≤ {1.3 * found.changed:.1%}"
        yield Figure(name, value, bar)
        name = f"bytes that the run leaves when they are {order}, and that a clean run leaves"
        yield Figure(name, "the same" if found.is_same else "DIFFERENT", "the same")
