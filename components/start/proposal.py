"""Settings for a data set, and why."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.common.errors import InputError, listed
from components.ingest.hints import unbalanced
from components.ingest.sources.folders import CLASS, class_folders
from components.modalities.modality import Facts
from components.modalities.registry import (
    MODALITIES,
    inspection_of,
    language_modalities,
    learns_transcripts,
    modality,
)
from components.start.columns import FILES, Column, DataSet, named
from components.tasks.registry import settings_of
from components.tasks.settings import ClassTaskSettings

LABELS = (  # names of columns that hold what is to be learnt, the most certain first
    *("label", "labels", "target", "class", "y", "answer", "category", "categories", "tags"),
    *("sentiment", "topic", "genre", "species", "rating", "score", "stars", "price", "value"),
)
GROUPS = (  # names of columns of what must not be in two splits
    *("group", "speaker", "speaker_id", "patient", "patient_id", "subject", "subject_id"),
    *("user", "user_id", "author", "author_id", "session", "session_id", "family", "video_id"),
)
IDS = ("id", "row_id", "sample_id", "index")
FEW_NUMBERS = 20  # distinct whole numbers that are classes
ROWS_PER_CLASS = 3  # at least, on average
STEPS = 600  # of a training, at least
MOST_EPOCHS = 60


@dataclass
class Proposal:
    """Settings that differ from the defaults, nested, and a sentence for each decision."""

    settings: dict[str, Any] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)

    def put(self, key: str, value: Any, reason: str | None = None) -> None:
        """Set the value of a dotted key."""
        *path, last = key.split(".")
        section = self.settings
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
        if reason:
            self.reasons.append(reason)


def propose_for_columns(data: DataSet, root: str) -> Proposal:
    """Return settings for a table; `InputError` if it has nothing to learn, or to learn from."""
    proposal = Proposal()
    proposal.put("ingest.root", root)
    proposal.put("ingest.source", {"kind": data.kind, **data.options, "columns": {}})
    left = [column for column in data.columns if column.cells]
    by_column = next((c for c in left if c.splits), None)
    splits = by_column.splits if by_column else data.splits
    _put_role(proposal, left, "split", by_column)
    _put_splits(proposal, splits, "the data")
    _put_role(proposal, left, "id", _id(left, data.rows))
    media = {c.name: c.media[0] for c in left if c.media}
    target = _target([c for c in left if c.name not in media], data.rows)
    if target is None:
        raise InputError(
            f"found no column to learn: {listed([c.name for c in data.columns])}. A label has the "
            "same value in several rows, or is a number or a list of words"
        )
    left.remove(target)
    _put_modalities(proposal, left)
    _put_cells(proposal, [c for c in left if not _says(c, target)], data.rows)
    columns = proposal.settings["ingest"]["source"]["columns"]
    if not columns:
        raise InputError(
            f"found no column to learn {target.name!r} from: "
            f"{listed([c.name for c in data.columns])}. Needed are numbers, categories, texts of "
            f"several words, or paths of files below {root}"
        )
    kind, why = _kind(target)
    proposal.put(
        f"tasks.{_word(target.name)}",
        {"kind": kind, "column": target.name},
        f"task {_word(target.name)}: {kind} of the column {target.name!r}, {why}",
    )
    if issubclass(settings_of(kind), ClassTaskSettings):
        _put_balance(proposal, _word(target.name), target.classes)
    if not splits:
        _put_group(proposal, data, left, columns)
    for c in left:
        if c.name not in [name for names in columns.values() for name in _list(names)]:
            why = f", as it says what {target.name!r} is" if _says(c, target) else ""
            proposal.reasons.append(f"column {c.name!r}: not used{why}")
    _put_epochs(proposal, data.rows, columns)
    return proposal


def propose_for_folders(folder: Path, root: str) -> Proposal:
    """Return settings for folders of classes, whose files are all of one modality."""
    found = class_folders(folder)
    held = [(where.name, p) for _, where in found for p in sorted(where.rglob("*")) if p.is_file()]
    files = [path for _, path in held]
    column = Column("files", [str(path) for path in _spread(files)], len(files), folder.resolve())
    if column.media is None:
        raise InputError(f"{folder}: the files are of no known modality, as {listed(files[:3])}")
    m, facts = column.media
    proposal = Proposal()
    proposal.put("ingest.root", root)
    classes = Counter(sorted(name for name, _ in held))
    proposal.put(
        "ingest.source",
        {"kind": "folders", "modality": m},
        f"folders of classes: {len(files)} files of the modality {m}",
    )
    proposal.put(
        f"tasks.{CLASS}",
        {"column": CLASS},
        f"task {CLASS}: classification by folder, {len(classes)} classes: {listed(list(classes))}",
    )
    _put_balance(proposal, CLASS, classes)
    _put_splits(proposal, {split for split, _ in found if split}, "the folders")
    _put_suggested_inputs(proposal, m, facts)
    _put_epochs(proposal, len(files), [m])
    return proposal


def _put_role(proposal: Proposal, left: list[Column], role: str, column: Column | None) -> None:
    """Set the column of ids or of splits, which is nothing else then."""
    if column is not None:
        left.remove(column)
        proposal.put(f"ingest.source.{role}", column.name, f"column {column.name!r}: {role}")


def _put_splits(proposal: Proposal, given: Collection[str], whose: str) -> None:
    """Set which splits are used: those given, if any; figures are of validation without a test."""
    if not given:
        proposal.reasons.append("splits: a tenth for validation, a tenth for test, by a hash")
        return
    proposal.put("ingest.splits", {"test": 0.0}, f"splits: those of {whose}")
    if "test" not in given:
        why = f"figures: of the validation split, as {whose} have no test split"
        proposal.put("evaluate.split", "validation", why)


def _id(columns: Sequence[Column], rows: int) -> Column | None:
    """Return the column of ids: it is called so and holds each value once."""
    column = named(columns, IDS)
    return column if column and len(column.counts) == rows else None


def _target(columns: Sequence[Column], rows: int) -> Column | None:
    """Return the column to learn: by its name, or else the last one that is likely to be it."""
    possible = [c for c in columns if _kind(c)[0] and len(c.counts) > 1]
    likely = [c for c in possible if not (c.is_texts or _names_rows(c, rows))]
    return named(possible, LABELS) or next(reversed(likely or possible), None)


def _names_rows(column: Column, rows: int) -> bool:
    """Return whether a column says which row it is, or whose."""
    whole = column.numbers is not None and all(map(float.is_integer, column.numbers))
    called = named([column], (*IDS, *GROUPS)) is not None
    return called or (whole and len(column.counts) == rows)


def _kind(column: Column) -> tuple[str, str]:
    """Return the kind of a task over a column, and why; nothing if it cannot be learnt."""
    distinct = len(column.counts)
    if column.is_lists:
        return "multilabel", "whose cells are lists"
    if column.numbers is not None:
        whole = all(number.is_integer() for number in column.numbers)
        if not whole or distinct > FEW_NUMBERS:
            return "regression", "which holds numbers"
    if distinct * ROWS_PER_CLASS <= len(column.cells):
        return "classification", f"which has {distinct} values"
    if named([column], LABELS) and column.is_texts:
        return "generation", "which holds texts"
    return "", ""


def _put_balance(proposal: Proposal, task: str, counts: Mapping[str, int]) -> None:
    """Let rare classes count as much as others, where some are very rare."""
    if ends := unbalanced(counts):
        rarest, commonest = ends
        proposal.put(
            f"tasks.{task}.balance",
            "weights",
            f"task {task}: rare classes count as much as frequent ones in training, since "
            f"{commonest!r} occurs {counts[commonest]:,} times and {rarest!r} {counts[rarest]:,}; "
            "with balance: none more predictions are right, and fewer of rare classes",
        )


def _put_modalities(proposal: Proposal, columns: Sequence[Column]) -> None:
    """Set the columns of modalities: of files, and of texts."""
    chosen = proposal.settings["ingest"]["source"]["columns"]
    for c in columns:
        if c.media and c.media[0] not in chosen:
            m, facts = c.media
            chosen[m] = c.name
            proposal.reasons.append(f"column {c.name!r}: {m}, by what {len(facts)} files hold")
            _put_suggested_inputs(proposal, m, facts)
    texts = sorted((c for c in columns if c.is_texts and not c.media), key=lambda c: -c.words)
    for m, c in zip(language_modalities(), texts, strict=False):
        for speech in filter(learns_transcripts, chosen):
            proposal.reasons.append(
                f"features.{speech}.transcript: true, as column {c.name!r} is taken to be what the "
                f"{speech} of the row says; set false if it is not"
            )
        chosen[m] = c.name
        proposal.reasons.append(f"column {c.name!r}: {m}, {c.words:.0f} words on average")
        inspected = (inspection_of(m).inspect(cell.encode()) for cell in c.cells)
        _put_suggested_inputs(
            proposal, m, [facts for facts in inspected if isinstance(facts, dict)]
        )


def _put_cells(proposal: Proposal, columns: Sequence[Column], rows: int) -> None:
    """Set the columns of numbers and categories, which are one modality."""
    names = [c.name for c in columns if _is_cell(c, rows)]
    for m in filter(_is_of_cells, MODALITIES if names else ()):
        proposal.settings["ingest"]["source"]["columns"][m] = names
        proposal.reasons.append(f"columns {listed(names)}: {m}, numbers and categories")
        _put_suggested_inputs(proposal, m, [{"cells": len(names)}])
        proposal.put(f"train.encoders.{m}", "finetune")


def _is_of_cells(m: str) -> bool:
    """Return whether the assets of a modality are several cells of a row."""
    return modality(m).is_inline and not modality(m).is_language


def _is_cell(column: Column, rows: int) -> bool:
    """Return whether a column holds numbers, or names that recur."""
    if column.media or column.is_texts or column.is_lists or _names_rows(column, rows):
        return False
    return column.numbers is not None or len(column.counts) * ROWS_PER_CLASS <= len(column.cells)


def _says(column: Column, target: Column) -> bool:
    """Return whether the values of a column that recur decide the target without exception."""
    if not len(column.cells) == len(target.cells) == column.rows:
        return False
    pairs = set(zip(map(str, column.cells), map(str, target.cells), strict=True))
    return len(pairs) == len(column.counts) <= column.rows / ROWS_PER_CLASS


def _list(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _put_suggested_inputs(proposal: Proposal, m: str, facts: Sequence[Facts]) -> None:
    if not facts:  # no text of the column can be used; ingest says why
        return
    defaults = modality(m).inputs()
    for key, value in modality(m).suggested_inputs(facts).items():
        if value != getattr(defaults, key):
            proposal.put(f"preprocess.{m}.{key}", value)


def _put_group(
    proposal: Proposal, data: DataSet, columns: Sequence[Column], used: Iterable[str]
) -> None:
    """Set what must not be in two splits, where rows are put into splits by a hash."""
    group = named(columns, GROUPS)
    if group and 1 < len(group.counts) < data.rows:
        proposal.put(
            "ingest.splits",
            {"group": group.name},
            f"splits: rows of the same {group.name!r} stay together",
        )
    elif MODALITIES[0] not in used:  # by which they are grouped otherwise
        m = next(iter(used))
        if not _is_of_cells(m):  # different rows may well have the same few categories
            why = f"splits: rows of the same {m} stay together"
            proposal.put("ingest.splits", {"group": m}, why)


def _put_epochs(proposal: Proposal, rows: int, modalities: Iterable[str]) -> None:
    """Set more epochs for small data, so that there are enough steps."""
    for m in modalities:
        _put_more_epochs(proposal, f"features.{m}", rows, modality(m).encoder.model_validate({}))
    from components.train.settings import TrainSettings  # here, as it imports torch

    _put_more_epochs(proposal, "train", rows, TrainSettings())


def _put_more_epochs(proposal: Proposal, section: str, rows: int, settings: Any) -> None:
    needed = math.ceil(STEPS / max(1, rows / settings.batch_size))
    if needed > settings.epochs:
        proposal.put(f"{section}.epochs", min(needed, MOST_EPOCHS))


def _spread(files: Sequence[Path]) -> Sequence[Path]:
    """Return some of the files, from all classes."""
    return files[:: max(1, len(files) // FILES)][:FILES]


def _word(name: str) -> str:
    """Return a column's name as that of a task."""
    cleaned = "".join(char if char.isascii() and char.isalnum() else "_" for char in name)
    return cleaned.strip("_") or "label"
