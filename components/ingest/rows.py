"""How rows of a source become samples."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from components.common.errors import InputError, Problem, did_you_mean, listed
from components.data.samples import SAMPLE_ID, SPLIT, asset_column, id_columns, samples_schema
from components.data.tables import TableWriter, read_rows
from components.ingest.groups import Groups
from components.ingest.ledger import Ledger
from components.ingest.media_store import MediaStore
from components.ingest.quarantine import UNUSED, Quarantine
from components.ingest.records import BadRow, Record, RowError, Rows, Value
from components.ingest.settings import IngestSettings
from components.ingest.sources.files import short
from components.ingest.sources.voices import with_voices
from components.modalities.registry import MODALITIES, inspection_of, language_modalities
from components.stage.progress import bar
from components.tasks.labels import parse_word
from components.tasks.registry import labels_of
from components.tasks.settings import TaskSettings

SAMPLES = samples_schema(MODALITIES)
LANGUAGE = language_modalities()  # columns that every source has

Sample = Mapping[str, Any]  # a row of the samples, column → value


@dataclass(frozen=True)
class Parser:
    """How the cells of a column are read."""

    type: pa.DataType  # of the column in the samples
    parse: Callable[[Any], Any | Problem]  # returns a cell's value, or why it cannot be used


def column_parsers(tasks: Mapping[str, TaskSettings], slices: tuple[str, ...]) -> dict[str, Parser]:
    """Return a parser per column: of slices, and of the labels of tasks."""
    ids = id_columns(MODALITIES)  # which the source does not give
    of_labels = {
        task.column: Parser(labels_of(task.kind).TYPE, labels_of(task.kind).parser(task))
        for task in tasks.values()
        if task.column not in ids
    }
    return {column: Parser(pa.string(), parse_word) for column in slices} | of_labels


def cell(row: Record, column: str) -> Value:
    """Return a cell of a row whose media are usable.

    The name of a modality whose assets are texts is a column too, unless the source has another
    of that name: it holds the sample's own text.
    """
    if column in LANGUAGE and column not in row.columns and column in row.media:
        content = row.media[column].load()
        return inspection_of(column).preview(content).text if isinstance(content, bytes) else None
    return row.columns.get(column)


@dataclass(frozen=True)
class RowReader:
    """Turns rows whose files are stored into samples."""

    settings: IngestSettings
    tasks: Mapping[str, TaskSettings]
    seed: int
    ledger: Ledger

    @cached_property
    def groups(self) -> Groups:
        """The groups of the rows."""
        return Groups(self.ledger, self.settings, self.seed)

    @cached_property
    def parsers(self) -> dict[str, Parser]:
        """A parser per column of slices and labels."""
        return column_parsers(self.tasks, self.settings.slices)

    @property
    def types(self) -> pa.Schema:
        """All columns of the samples."""
        first, *assets = id_columns(MODALITIES)
        fixed = dict.fromkeys((first, SPLIT, *assets), pa.string())
        columns = {column: parser.type for column, parser in self.parsers.items()}
        return pa.schema(list((fixed | columns).items()))

    def samples(self, rows: Rows, store: MediaStore) -> Iterator[Sample | BadRow]:
        """Yield every row of a source as a sample, or why it cannot be one.

        Raises `InputError` if the source lacks a column that params.yaml names.
        """
        rows = (_unless_bad(self._with_split, row) for row in store.store(rows))
        if (speech := self.settings.speech) and speech.voices:
            rows = store.store(with_voices(rows, speech.voices, self.seed))
        checked = False
        for row in bar(rows, label="ingest", unit="row"):
            if isinstance(row, Record) and not checked:
                self._check_columns(row)
                checked = True
            yield _unless_bad(self._sample, row)

    def _with_split(self, row: Record) -> Record:
        """Return a record whose files are stored with its split."""
        if (earlier := self.ledger.add_row(row.row_id, row.place)) is not None:
            raise RowError(None, "id_duplicate", _duplicate(row, earlier))
        if not row.media:
            raise RowError(None, "row_empty", f"the row has neither {' nor '.join(MODALITIES)}")
        files, name = self._assets(row), self.settings.splits.group
        value = files.get(name) if name in MODALITIES else row.columns.get(name)
        group = parse_word(value)
        if isinstance(group, Problem):
            detail = f"the group {name!r} is {short(value)}, expected a word or a finite number"
            raise RowError(name, group.reason, detail)
        if self.settings.splits.leaves_alone(group or row.row_id):
            detail = "the row is in the test split, which cross-validation leaves alone"
            raise RowError(None, UNUSED, detail)
        return replace(row, split=self.groups.split(row.row_id, group, row.split))

    def _sample(self, row: Record) -> Sample:
        files, labels = self._assets(row), {}
        for column, parser in self.parsers.items():
            value = parser.parse(cell(row, column))
            if isinstance(value, Problem):
                raise RowError(column, value.reason, f"column {column!r}: {value.detail}")
            labels[column] = value
        assets = {asset_column(m): files.get(m) for m in MODALITIES}
        return {SAMPLE_ID: row.row_id, SPLIT: row.split, **assets, **labels}

    def _assets(self, row: Record) -> dict[str, str]:
        """Return the asset ids of a record's files; raise `RowError` if one of them is bad."""
        found = {m: self.ledger.file(m, media.key) for m, media in row.media.items()}
        broken = {m: problem for m, problem in found.items() if isinstance(problem, Problem)}
        for m, problem in broken.items():
            details = "; ".join(each.detail for each in broken.values())
            raise RowError(row.media[m].key, problem.reason, details)
        return {m: asset for m, asset in found.items() if isinstance(asset, str)}

    def _check_columns(self, record: Record) -> None:
        group = self.settings.splits.group
        wanted = [*self.parsers, *([] if group in MODALITIES else [group])]
        if missing := [c for c in wanted if c not in record.columns and c not in LANGUAGE]:
            raise InputError(
                f"params.yaml names columns that the source does not have: {', '.join(missing)}. "
                f"{did_you_mean(missing[0], record.columns)}Beside those of modalities, ids and "
                f"splits it has: {listed(sorted(record.columns))}. Correct tasks.*.column, "
                "ingest.slices or ingest.splits.group; a column of bytes can be media only"
            )


def _unless_bad(convert: Callable[[Record], Any], row: Record | BadRow) -> Any:
    """Return a row converted, or as a bad row if it is one or cannot be converted."""
    try:
        return row if isinstance(row, BadRow) else convert(row)
    except RowError as error:
        return error.at(row.row_id)


def _duplicate(row: Record, earlier: str) -> str:
    """Return what is wrong with an id that an earlier row has, whose place may be known."""
    found = f"the id {row.row_id!r} is not unique"
    if not (row.place and earlier):
        return f"{found}. Make the ids of the source unique"
    way_out = "make the ids unique, or set ingest.source.id: null, so that file and line are the id"
    starts = row.place.rpartition(":")[0] != earlier.rpartition(":")[0]
    why = "ids start again in each file: " if starts else ""
    return f"{found}: {row.place} has that of {earlier}; {why}{way_out}"


@dataclass(frozen=True)
class SampleTables:
    """Writes samples and rows that cannot be used, and records in which splits assets are."""

    types: pa.Schema  # columns of the samples
    quarantine: Quarantine
    groups: Groups

    def write(self, path: Path, rows: Iterator[Sample | BadRow]) -> int:
        """Write samples, and return how many rows there were."""
        count = 0
        with TableWriter(path, SAMPLES, self.types) as writer:
            for row in rows:
                count += 1
                if isinstance(row, BadRow):
                    self.quarantine.put(row)
                else:
                    writer.add(row)
        return count

    def record_uses(self, path: Path) -> None:
        """Record in which splits samples have which assets, instead of what was recorded before."""
        ledger = self.groups.ledger
        ledger.clear_uses()
        for use in self.groups.uses(path):
            ledger.add_use(*use)

    def settle(self, source: Path, target: Path) -> Path:
        """Copy the samples into the splits of their groups; return `source` if all of them are."""
        if not self.groups.ledger.has_late_splits(self.groups.settings.splits.group):
            return source
        self.write(target, map(self.groups.settle, read_rows(source)))
        self.record_uses(target)
        return target

    def select(
        self, source: Path, target: Path, problem: Callable[[Sample], BadRow | None]
    ) -> Path:
        """Copy the samples that have no problem; return `target`."""
        refused = self.quarantine.reasons.total()
        self.write(target, (problem(sample) or sample for sample in read_rows(source)))
        if self.quarantine.reasons.total() > refused:
            self.record_uses(target)
        return target
