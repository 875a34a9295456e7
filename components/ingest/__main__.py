"""Stage `ingest`: a source becomes samples, media shards, a quarantine and vocabularies."""

import logging
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from components.common.errors import InputError
from components.common.files import write_json
from components.data.tables import TableWriter
from components.ingest import labelled
from components.ingest.conflicts import conflict, find_conflicts
from components.ingest.copies import copied, find_copies
from components.ingest.leaks import count_leaks, leak
from components.ingest.ledger import Ledger
from components.ingest.media_store import ASSETS, TYPES, MediaStore
from components.ingest.quarantine import Quarantine
from components.ingest.report import Contents, write_report
from components.ingest.rows import RowReader, SampleTables
from components.ingest.settings import IngestStageSettings
from components.ingest.sources.files import surroundings
from components.ingest.sources.recordings import with_recordings
from components.ingest.sources.registry import SOURCES
from components.ingest.sources.source import SourceContext
from components.ingest.vocabularies import label_check, learn_vocabularies
from components.stage.arguments import Arguments, output_path, state_path
from components.stage.stage import Stage

log = logging.getLogger(__name__)


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


def main(arguments: IngestArguments, settings: IngestStageSettings) -> None:
    """Run the stage."""
    options, tasks, scratch = settings.ingest, settings.tasks, arguments.scratch
    root = Path(options.root)
    if not root.is_dir():
        raise InputError(f"ingest.root: there is no folder {options.root!r}. {surroundings(root)}")
    source = SOURCES[options.source.kind]
    rows = source.read(options.source, SourceContext(root, options.splits, settings.seed))
    if options.speech and options.speech.tables:
        rows = with_recordings(rows, options.speech.tables, root)
    shutil.rmtree(scratch, ignore_errors=True)  # of a run that was killed
    with Ledger(scratch / "ledger") as ledger, Quarantine(arguments.quarantine) as quarantine:
        reader = RowReader(options, tasks, settings.seed, ledger)
        tables = SampleTables(reader.types, quarantine, ledger)
        samples = scratch / "all"
        with TableWriter(arguments.assets, ASSETS, TYPES) as assets:
            store = MediaStore(arguments.media, ledger, assets, settings.workers)
            count = tables.write(samples, reader.samples(rows, store))
            store.close()
        quarantine.refuse(count, options.max_bad_fraction)
        leaks = count_leaks(ledger, options.on_leak)
        if options.on_leak == "drop":
            tables.select(samples, scratch / "without_leaks", partial(leak, ledger))
            samples = scratch / "without_leaks"
        copies = find_copies(ledger, options.on_copy)
        if any(copies.values()) and options.on_copy == "drop":
            tables.select(samples, scratch / "without_copies", partial(copied, ledger))
            samples = scratch / "without_copies"
        conflicts = find_conflicts(samples, tasks, ledger, options.on_conflict)
        if conflicts and options.on_conflict == "quarantine":
            check = partial(conflict, tasks, ledger)
            tables.select(samples, scratch / "without_conflicts", check)
            samples = scratch / "without_conflicts"
        vocabularies = learn_vocabularies(samples, tasks)
        tables.select(samples, arguments.samples, label_check(vocabularies, tasks))
        quarantine.refuse(count, options.max_bad_fraction)
        write_json(arguments.vocabulary, vocabularies)
        tables_of = arguments.samples, arguments.assets, arguments.media
        contents = Contents(*tables_of, ledger, tasks, conflicts)
        reasons = dict(sorted(quarantine.reasons.items()))
        found = {"leaks": leaks, "copies": copies, "quarantine": reasons}
        report = write_report(contents, found, arguments.plots, arguments.page, arguments.report)
    shutil.rmtree(scratch)
    counts = ", ".join(f"{number} {split}" for split, number in report["samples"].items())
    total, bad = sum(report["samples"].values()), quarantine.reasons.total()
    log.info("%d samples (%s), %d rows in quarantine", total, counts, bad)
    labelled.check_labels(report, settings.evaluate.split)


STAGE = Stage(__doc__, IngestArguments, lambda _: IngestStageSettings, main)

if __name__ == "__main__":
    STAGE.main()
