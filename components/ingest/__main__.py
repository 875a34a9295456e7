"""Stage `ingest`: a source becomes samples, media shards, a quarantine and vocabularies.

With --check, and without any outputs, it only checks the source in seconds and writes nothing:
every row is read, and the first files of each modality; the others are looked for.
"""

import logging
import shutil
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.common.errors import InputError
from components.common.files import write_json
from components.common.spelling import printable
from components.data.tables import TableWriter, read_rows
from components.ingest import labelled
from components.ingest.classes import one_line
from components.ingest.conflicts import Conflict, conflict, find_conflicts
from components.ingest.copies import copied, find_copies
from components.ingest.folds import fold_splits
from components.ingest.leaks import count_leaks, leak, leaking
from components.ingest.ledger import Ledger
from components.ingest.media_store import ASSETS, TYPES, MediaStore
from components.ingest.quarantine import Quarantine
from components.ingest.records import Rows
from components.ingest.remarks import about_groups, remarks
from components.ingest.repeats import about_repeats
from components.ingest.report import Contents, describe, write_report
from components.ingest.rows import RowReader, SampleTables
from components.ingest.settings import IngestSettings, IngestStageSettings
from components.ingest.sources.files import surroundings
from components.ingest.sources.recordings import with_recordings
from components.ingest.sources.registry import SOURCES
from components.ingest.sources.source import SourceContext
from components.ingest.vocabularies import label_check, learn_vocabularies
from components.modalities.registry import MODALITIES, modality
from components.stage.arguments import Arguments, output_path, state_path, with_role
from components.stage.stage import Stage
from components.tasks.settings import TaskSettings

log = logging.getLogger(__name__)

CHECKED_FILES = 300  # of each modality, that a check reads
MAX_SHOWN = 3  # rows in quarantine that a check prints, per reason
LONGEST_DETAIL = 500  # characters, which leaves the way out at its end


@dataclass(frozen=True, kw_only=True)
class IngestArguments(Arguments):
    """Outputs of ingest; the source is named by `ingest.root`."""

    samples: Path = output_path("Parquet, one row per sample: split, assets, labels")
    media: Path = output_path("folder, one media shard set per modality")
    quarantine: Path = output_path("Parquet, one row per row of the source that cannot be used")
    vocabulary: Path = output_path("JSON, what the labels of each task taught")
    assets: Path = output_path("Parquet, one row per media file: its size, length and rate")
    report: Path = output_path("JSON, what is in the data")
    plots: Path = output_path("folder, the same as plots")
    page: Path = output_path("HTML, the same on one page, with some samples")
    scratch: Path = state_path("folder for intermediate files; removed at the end")


def main(arguments: IngestArguments, settings: IngestStageSettings, files: float = inf) -> None:
    """Run the stage; if it may read a number of `files` of each modality only, without a report."""
    options, tasks, scratch = settings.ingest, settings.tasks, arguments.scratch
    root = Path(options.root)
    if not root.is_dir():
        raise InputError(f"ingest.root: there is no folder {options.root!r}. {surroundings(root)}")
    if options.splits.fold:
        rows = read(options, root, settings.seed)
        splits = fold_splits(rows, options, tasks, settings.seed)
        options = options.model_copy(update={"splits": splits})
    rows = read(options, root, settings.seed)
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    with Ledger(scratch / "ledger") as ledger, Quarantine(arguments.quarantine) as quarantine:
        reader = RowReader(options, tasks, settings.seed, ledger)
        tables = SampleTables(reader.types, quarantine, reader.groups)
        samples = scratch / "all"
        with TableWriter(arguments.assets, ASSETS, TYPES) as assets:
            store = MediaStore(arguments.media, ledger, assets, settings.workers, files)
            count = tables.write(samples, reader.samples(rows, store))
            store.close()
        tables.record_uses(samples)
        quarantine.refuse(count, options.max_bad_fraction)
        samples = tables.settle(samples, scratch / "in_splits_of_groups")
        samples, found, conflicts = keep(samples, tables, options, tasks)
        vocabularies = learn_vocabularies(samples, tasks)
        if options.splits.fold:  # it may have a class alone: nothing is wrong with those rows
            quarantine.refuse(count, options.max_bad_fraction)
        tables.select(samples, arguments.samples, label_check(vocabularies, tasks))
        if not options.splits.fold:
            quarantine.refuse(count, options.max_bad_fraction)
        write_json(arguments.vocabulary, vocabularies)
        tables_of = arguments.samples, arguments.assets, arguments.media
        contents = Contents(*tables_of, ledger, tasks, conflicts)
        found["quarantine"] = dict(sorted(quarantine.reasons.items()))
        found["remarks"] = remarks(arguments.media) | about_groups(ledger, options.splits.group)
        if said := about_repeats(arguments.samples):
            found["remarks"]["samples"] = said
        if files == inf:
            paths = arguments.plots, arguments.page, arguments.report
            report = write_report(contents, found, *paths, settings.workers)
        else:
            report = describe(contents) | found
    shutil.rmtree(scratch)
    counts = ", ".join(f"{number} {split}" for split, number in report["samples"].items())
    total, bad = sum(report["samples"].values()), quarantine.reasons.total()
    log.info("%d samples (%s), %d rows in quarantine", total, counts, bad)
    log_classes(report, tasks)
    for about, said in report["remarks"].items():
        for remark in said:
            log.warning("%s: %s", about, remark)
    labelled.check_labels(report, settings.evaluate.split)


def read(options: IngestSettings, root: Path, seed: int) -> Rows:
    """Return the rows of the source, with recordings of their texts if there are any."""
    source = SOURCES[options.source.kind]
    rows = source.read(options.source, SourceContext(root, options.splits, seed))
    if options.speech and options.speech.tables:
        return with_recordings(rows, options.speech.tables, root)
    return rows


def keep(
    samples: Path, tables: SampleTables, options: IngestSettings, tasks: Mapping[str, TaskSettings]
) -> tuple[Path, dict[str, Any], list[Conflict]]:
    """Look for leaks, copies and assets with several labels; keep what the settings say.

    Returns:
        The samples that are kept, beside those given; what the report says; the conflicts.
    """
    ledger, group = tables.groups.ledger, options.splits.group
    leaks = count_leaks(ledger, options.on_leak, group)
    if options.on_leak == "drop":
        check = partial(leak, tables.groups, leaking(ledger, group))
        samples = tables.select(samples, samples.with_name("without_leaks"), check)
    copies = find_copies(ledger, options.on_copy)
    if any(copies.values()) and options.on_copy == "drop":
        check = partial(copied, ledger)
        samples = tables.select(samples, samples.with_name("without_copies"), check)
    conflicts = find_conflicts(samples, tasks, ledger, options.on_conflict)
    if conflicts and options.on_conflict == "quarantine":
        check = partial(conflict, tasks, ledger)
        samples = tables.select(samples, samples.with_name("without_conflicts"), check)
    return samples, {"leaks": leaks, "copies": copies}, conflicts


def log_classes(report: Mapping[str, Any], tasks: Mapping[str, TaskSettings]) -> None:
    """Print the labels of each task with their counts, and which look like mistakes."""
    for name, by_split in report["classes"].items():
        log.info("%s: %s", name, one_line(tasks[name], by_split))
        for note in report["suspicious_classes"].get(name, []):
            log.warning("%s: %s", name, note)


def check(arguments: Arguments, settings: IngestStageSettings) -> None:
    """Do the stage's work on rows and on the first files, in a folder that is removed.

    Which split a group of files is in depends on their content, and so do leaks then.
    """
    group, changes = settings.ingest.splits.group, {"on_copy": "ignore"}
    if group in MODALITIES and not modality(group).is_inline:
        changes["on_leak"] = "allow"
    ingest = settings.ingest.model_copy(update=changes)
    settings = settings.model_copy(update={"ingest": ingest})
    with TemporaryDirectory() as folder:
        names = [*with_role(IngestArguments, "output"), *with_role(IngestArguments, "state")]
        paths = {name: Path(folder, name) for name in names}
        try:
            main(IngestArguments(params=arguments.params, **paths), settings, CHECKED_FILES)
        except InputError as error:
            later = "data/quarantine.parquet, after dvc repro ingest"
            raise InputError(str(error).replace(str(paths["quarantine"]), later)) from error
        finally:
            log_quarantine(paths["quarantine"])
    log.info(
        "Checked; nothing was written. Equal files, and splits by them, are known after ingest"
    )


def log_quarantine(path: Path) -> None:
    """Print the first rows in quarantine of each reason."""
    shown: Counter[str] = Counter()
    for row in read_rows(path) if path.exists() else ():
        shown[row["reason"]] += 1
        if shown[row["reason"]] <= MAX_SHOWN:
            file = f" ({printable(row['asset'])})" if row["asset"] else ""
            detail = printable(row["detail"], LONGEST_DETAIL) + file
            log.info("%s: row %s: %s", row["reason"], printable(row["row_id"]), detail)


STAGE = Stage(__doc__, IngestArguments, lambda _: IngestStageSettings, main)
CHECK = Stage(__doc__, Arguments, lambda _: IngestStageSettings, check)

if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--check"]
    (CHECK if "--check" in sys.argv else STAGE).main(words)
