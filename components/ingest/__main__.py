"""Stage `ingest`: a source becomes samples, media shards, a quarantine and a vocabulary."""

import argparse
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa

from components.common.errors import InputError, Problem
from components.common.figures import page, save
from components.common.files import write_json, write_text
from components.config.command import Stage, View
from components.data.tables import ASSETS, SAMPLES, TableWriter, read_rows
from components.ingest.columns import OWN_TEXT, Parser, as_text, cell, column_parsers
from components.ingest.ledger import Ledger
from components.ingest.media import TYPES, Library
from components.ingest.quarantine import Quarantine
from components.ingest.record import BadRow, Record, Rows
from components.ingest.report import MEASURES, Contents, contact_sheet, describe, draw
from components.ingest.settings import IngestSettings, Source
from components.ingest.sources import coco, demo, digits, flickr30k, huggingface, table, vqa
from components.ingest.sources.files import surroundings
from components.ingest.sources.with_speech import with_speech
from components.ingest.sources.with_voices import with_voices
from components.ingest.splits import choose
from components.modalities.registry import MODALITIES, Modality
from components.stage.progress import bar
from components.tasks.label_kinds import LABELS
from components.tasks.labels import Labels, Vocabulary
from components.tasks.settings import TaskSettings

log = logging.getLogger(__name__)

STAGE = Stage(
    description="Read a source into samples, media shards, a quarantine and a vocabulary.",
    inputs={},
    outputs={
        "samples": "Parquet, one row a sample: split, assets, labels",
        "media": "folder, one media shard set a modality",
        "quarantine": "Parquet, one row for each row of the source that cannot be used, and why",
        "vocabulary": "JSON, what was learnt of each task's labels",
        "assets": "Parquet, one row a media file: its size, length and rate",
        "report": "JSON, what is in the data",
        "plots": "folder, the same as plots",
        "page": "HTML, the same on one page, with some samples",
        "scratch": "folder, for what is in work; removed at the end",
    },
    params=("seed", "workers", "ingest", "tasks"),
)

SOURCES: dict[Source, Callable[[View, Path], Rows]] = {
    "demo": lambda settings, root: demo.read(
        settings.ingest.demo, settings.ingest.splits, settings.seed
    ),
    "digits": lambda settings, root: digits.read(
        settings.ingest.digits, settings.ingest.splits, settings.seed
    ),
    "table": lambda settings, root: table.read(settings.ingest.table, root),
    "coco": lambda settings, root: coco.read(settings.ingest.coco, root),
    "flickr30k": lambda settings, root: flickr30k.read(settings.ingest.flickr30k, root),
    "vqa": lambda settings, root: vqa.read(settings.ingest.vqa, root),
    "huggingface": lambda settings, root: huggingface.read(settings.ingest.huggingface, root),
}

LEAKING: tuple[Modality, ...] = ("image", "audio")  # the same text may well be in every split
SHOWN = 3  # leaks that are named


@dataclass(frozen=True)
class Reading:
    """How the rows of a source become samples.

    Attributes:
        settings: of the ingest stage.
        tasks: by name.
        seed: what the splits follow from.
    """

    settings: IngestSettings
    tasks: Mapping[str, TaskSettings]
    seed: int

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The columns of the samples beside split and assets, with their types."""
        return {column: parser.type for column, parser in self.parsers.items()}

    @property
    def parsers(self) -> dict[str, Parser]:
        """How the cells of each column are read: labels of tasks, then slices."""
        return column_parsers(self.tasks, self.settings.slices)

    @property
    def types(self) -> pa.Schema:
        """All columns of the samples."""
        ids = {column: pa.string() for column in SAMPLES.columns}
        return pa.schema(list((ids | self.columns).items()))


def check_columns(record: Record, reading: Reading) -> None:
    """Whether the source has the columns that params.yaml names.

    Raises:
        InputError: it lacks one.
    """
    group = reading.settings.splits.group
    wanted = [*reading.columns, *([] if group in MODALITIES else [group])]
    if missing := [column for column in wanted if column not in {*record.columns, OWN_TEXT}]:
        raise InputError(
            f"params.yaml names columns that the source does not have: {', '.join(missing)}. "
            f"It has: {', '.join(sorted(record.columns))}. Mend tasks.*.column, ingest.slices or "
            "ingest.splits.group"
        )


def collect(
    rows: Rows, reading: Reading, library: Library, ledger: Ledger, samples: Path, bad: Quarantine
) -> int:
    """Store the media of a source; write its rows to `samples`, or those that are bad to `bad`.

    Returns:
        How many rows the source has.

    Raises:
        InputError: the source lacks a column that params.yaml names.
    """
    rows = (settle(row, reading, ledger) for row in library.store(iter(rows)))
    if (speech := reading.settings.speech) and speech.voices:
        rows = library.store(with_voices(rows, speech.voices, reading.seed))
    count, first = 0, True
    with TableWriter(samples, SAMPLES, reading.types) as writer:
        for row in bar(rows, label="ingest", unit="row"):
            count += 1
            if isinstance(row, Record) and first:
                check_columns(row, reading)
                first = False
            sample = to_sample(row, reading, ledger)
            if isinstance(sample, BadRow):
                bad.put(sample.line, sample.asset, sample.reason, sample.detail)
                continue
            note_uses(sample, ledger)
            writer.add(sample)
    return count


def settle(row: Record | BadRow, reading: Reading, ledger: Ledger) -> Record | BadRow:
    """A record whose files are stored with its split, or why it cannot be used."""
    if isinstance(row, BadRow):
        return row
    if not ledger.new_line(row.line):
        return BadRow(row.line, None, "id_duplicate", f"the id {row.line!r} was there before")
    if not row.media:
        return BadRow(row.line, None, "row_empty", "the row has no image, no text and no audio")
    files = assets_of(row, ledger)
    if isinstance(files, BadRow):
        return files
    split = choose(row.split, group_of(row, files, reading), reading.settings.splits, reading.seed)
    return replace(row, split=split)


def to_sample(row: Record | BadRow, reading: Reading, ledger: Ledger) -> dict | BadRow:
    """A settled row as one of the samples, or why there is none."""
    if isinstance(row, BadRow):
        return row
    files = assets_of(row, ledger)
    if isinstance(files, BadRow):
        return files
    labels = {column: parser.parse(cell(row, column)) for column, parser in reading.parsers.items()}
    for column, value in labels.items():
        if isinstance(value, Problem):
            return BadRow(row.line, column, value.reason, f"column {column!r}: {value.detail}")
    assets = {f"{m}_id": files.get(m) for m in MODALITIES}
    return {"sample_id": row.line, "split": row.split, **assets, **labels}


def assets_of(row: Record, ledger: Ledger) -> dict[Modality, str] | BadRow:
    """The asset ids of a record's files, or the row as bad if one of them is."""
    files = {m: ledger.file(m, media.key) for m, media in row.media.items()}
    if broken := {m: found for m, found in files.items() if isinstance(found, Problem)}:
        details = "; ".join(problem.detail for problem in broken.values())
        modality, problem = next(iter(broken.items()))
        return BadRow(row.line, row.media[modality].key, problem.reason, details)
    return files


def note_uses(sample: Mapping, ledger: Ledger) -> None:
    """Note the split of a sample's assets."""
    for modality in MODALITIES:
        if asset_id := sample[f"{modality}_id"]:
            ledger.use(modality, asset_id, sample["split"])


def group_of(row: Record, files: Mapping[Modality, str], reading: Reading) -> str:
    """What decides the split of a row; a row without it stands alone."""
    group = reading.settings.splits.group
    value = files.get(group) if group in MODALITIES else row.columns.get(group)
    return row.line if value is None else as_text(value)


def find_leaks(ledger: Ledger, policy: str) -> dict[Modality, int]:
    """How many images and sounds occur in more than one split.

    Raises:
        InputError: there are some, and the policy is `error`.
    """
    found = {modality: ledger.leaks(modality, SHOWN) for modality in LEAKING}
    if policy == "error" and any(count for count, _ in found.values()):
        lines = [
            f"  {leak.modality} {leak.asset_id[:12]} in {', '.join(leak.splits)}"
            for _, leaks in found.values()
            for leak in leaks
        ]
        counts = " and ".join(f"{count} of {m}" for m, (count, _) in found.items() if count)
        raise InputError(
            f"the same asset is in more than one split ({counts}), so figures on test would be "
            f"too good:\n{chr(10).join(lines)}\nMend the source's splits, or set ingest.on_leak: "
            "drop (the sample leaves the earlier split) or allow"
        )
    return {modality: count for modality, (count, _) in found.items()}


def leak(ledger: Ledger, sample: Mapping) -> BadRow | None:
    """The sample as a bad row, if a later split has one of its images or sounds too."""
    for modality in LEAKING:
        asset = sample[f"{modality}_id"]
        if asset and (later := ledger.later_split(modality, asset, sample["split"])):
            detail = f"{modality} {asset[:12]} of a {sample['split']} sample is in {later} too"
            return BadRow(sample["sample_id"], asset, "leak", detail)
    return None


def learn_vocabulary(samples: Path, tasks: Mapping[str, TaskSettings]) -> dict[str, Vocabulary]:
    """What each task's labels in training teach.

    Raises:
        InputError: the labels of a task do not suffice to learn it.
    """
    learners = {name: LABELS[task.kind].Learner(name, task) for name, task in tasks.items()}
    for sample in read_rows(samples):
        if sample["split"] == "train":
            for name, task in tasks.items():
                if (label := sample[task.column]) is not None:
                    learners[name].add(label)
    return {name: learner.finish() for name, learner in learners.items()}


def unusable_label(
    labels: Mapping[str, Labels], tasks: Mapping[str, TaskSettings], sample: Mapping
) -> BadRow | None:
    """The sample as a bad row, if a label cannot be used with what was learnt in training."""
    for name, task in tasks.items():
        label = sample[task.column]
        if label is not None and (problem := labels[name].problem(label)):
            detail = f"tasks.{name}: {problem.detail}"
            return BadRow(sample["sample_id"], None, problem.reason, detail)
    return None


def select(
    source: Path,
    target: Path,
    reading: Reading,
    problem: Callable[[Mapping], BadRow | None],
    bad: Quarantine,
) -> None:
    """Copy the samples that have no problem; the others go to the quarantine."""
    with TableWriter(target, SAMPLES, reading.types) as writer:
        for sample in read_rows(source):
            if (found := problem(sample)) is None:
                writer.add(sample)
            else:
                bad.put(found.line, found.asset, found.reason, found.detail)


def recount(samples: Path, ledger: Ledger) -> None:
    """Note the uses of the samples anew, since some went to the quarantine."""
    ledger.forget_uses()
    for sample in read_rows(samples):
        note_uses(sample, ledger)


def write_report(arguments: argparse.Namespace, contents: Contents, found: dict, tasks) -> dict:
    """Write what is in the data as JSON, plots and a page; give it."""
    described = describe(contents, tasks) | found
    figures = draw(described, contents.assets)
    paths = {name: arguments.plots / f"{name}.png" for name in figures}
    for name, figure in figures.items():
        save(figure, paths[name])
    sheet = contact_sheet(contents, tasks)
    context = {**described, "modalities": MODALITIES, "measures": MEASURES, "sheet": sheet}
    template = Path(__file__).with_name("report.html.jinja")
    write_text(arguments.page, page(template, context, paths))
    write_json(arguments.report, described)
    return described


def work(arguments: argparse.Namespace, settings: View) -> None:
    """Run the stage."""
    reading = Reading(settings.ingest, settings.tasks, settings.seed)
    options = reading.settings
    root = Path(options.root)
    if not root.is_dir():
        raise InputError(f"ingest.root: there is no folder {options.root!r}. {surroundings(root)}")
    rows = SOURCES[options.source](settings, root)
    if options.speech and options.speech.tables:
        rows = with_speech(rows, options.speech, root)
    scratch = arguments.scratch
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    with Ledger(scratch / "ledger") as ledger, Quarantine(arguments.quarantine) as bad:
        with (
            TableWriter(arguments.assets, ASSETS, TYPES) as assets,
            Library(arguments.media, ledger, assets, settings.workers) as library,
        ):
            count = collect(rows, reading, library, ledger, scratch / "collected", bad)
        bad.refuse(count, options.max_bad_fraction)
        leaks = find_leaks(ledger, options.on_leak)
        collected = scratch / "collected"
        if options.on_leak == "drop":
            select(collected, scratch / "kept", reading, partial(leak, ledger), bad)
            collected = scratch / "kept"
        vocabulary = learn_vocabulary(collected, settings.tasks)
        labels = {
            name: LABELS[task.kind](**vocabulary[name]) for name, task in settings.tasks.items()
        }
        unusable = partial(unusable_label, labels, settings.tasks)
        select(collected, arguments.samples, reading, unusable, bad)
        bad.refuse(count, options.max_bad_fraction)
        write_json(arguments.vocabulary, vocabulary)
        recount(arguments.samples, ledger)
        contents = Contents(arguments.samples, arguments.assets, arguments.media, ledger)
        found = {"leaks": leaks, "quarantine": dict(sorted(bad.reasons.items()))}
        report = write_report(arguments, contents, found, settings.tasks)
    shutil.rmtree(scratch)
    counts = ", ".join(f"{count} {split}" for split, count in report["samples"].items())
    log.info(
        "%d samples (%s), %d rows in quarantine",
        sum(report["samples"].values()),
        counts,
        bad.reasons.total(),
    )


if __name__ == "__main__":
    STAGE.run(work)
