"""Settings of ingest."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from components.data.samples import SPLIT, id_columns
from components.data.settings import EvaluatedSplit, OnConflict
from components.ingest.copies import OnCopy
from components.ingest.sources.recordings import RecordingTable
from components.ingest.sources.registry import OneSource
from components.ingest.sources.voices import VoiceSettings
from components.ingest.splits import SplitSettings
from components.modalities.registry import MODALITIES
from components.stage.settings import Fraction, Section, SeedSettings, WorkerSettings, by_default
from components.tasks.labels import parse_word
from components.tasks.registry import Tasks, labels_of, with_heads


class SpeechSettings(Section):
    """Spoken versions of a source's texts: recorded, or synthesised by eSpeak NG."""

    tables: Annotated[tuple[RecordingTable, ...], Field(min_length=1, strict=False)] | None = None
    """Recorded: tables of the ids of texts and of sound files."""
    voices: VoiceSettings | None = None
    """Synthesised: the voices of each split."""

    @model_validator(mode="after")
    def _recorded_or_synthesised(self):
        if (self.tables is None) == (self.voices is None):
            found = "neither" if self.tables is None else "both"
            raise ValueError(f"tables (recorded) or voices (by eSpeak NG) is needed, found {found}")
        return self


class IngestSettings(Section):
    """Where the data comes from, and what is done with rows that cannot be used."""

    source: OneSource = by_default("demo")
    """Where the data comes from, with the options of its kind: docs/sources.md."""
    root: str = "source"
    """Folder that the paths of a source start from and may not leave."""
    splits: SplitSettings = SplitSettings()
    """How samples are split whose split the source does not give."""
    on_leak: Literal["error", "drop", "allow"] = "error"
    """What happens if the same group, image or sound (or text, where there is nothing else) is in
    two splits."""
    on_copy: OnCopy = "report"
    """What happens if an image or sound (or text, where there is nothing else) of one split looks,
    sounds or reads the same as one of a later split: it is in the data report, its samples go to
    quarantine, the run stops, or nothing."""
    on_conflict: OnConflict = "majority"
    """What happens if an asset has several labels of a task that its modality decides: majority
    (its encoder learns the most frequent one), soft (it learns how often it has each, of classes),
    quarantine (its samples) or error."""
    max_bad_fraction: Fraction = 0.01
    """Fraction of the rows; if more are in quarantine, the run stops."""
    slices: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Columns of the source that evaluation breaks figures down by."""
    speech: SpeechSettings | None = None
    """Spoken versions of a source's texts, recorded or synthesised: docs/sources.md."""


class IngestStageSettings(WorkerSettings, SeedSettings):
    """Everything that ingest reads."""

    ingest: IngestSettings = IngestSettings()
    tasks: Tasks
    evaluate: EvaluatedSplit = EvaluatedSplit()

    @model_validator(mode="after")
    def _columns_do_not_clash(self):
        ids, heads = id_columns(MODALITIES), with_heads(self.tasks)
        labels = {t.column for n, t in self.tasks.items() if n in heads or t.column not in ids}
        if clash := sorted((labels | {*self.ingest.slices}) & {SPLIT, *ids}):
            raise ValueError(
                f"columns {', '.join(clash)} of tasks or ingest.slices are reserved; rename them"
            )
        return self

    @model_validator(mode="after")
    def _columns_are_read_in_one_way(self):
        readings: dict[str, set[tuple[Callable[[Any], Any], str | None]]] = {}
        for column in self.ingest.slices:
            readings.setdefault(column, set()).add((parse_word, None))
        for task in self.tasks.values():
            reading = labels_of(task.kind).parse, getattr(task, "separator", None)
            readings.setdefault(task.column, set()).add(reading)
        if mixed := sorted(column for column, found in readings.items() if len(found) > 1):
            raise ValueError(
                f"columns {', '.join(mixed)} are read by tasks of several kinds, or by a task and "
                "as a slice; only classification, retrieval and slices may share one, and tasks "
                "of one kind with the same separator. Give each other task its own column"
            )
        return self
