"""Settings for a data set, and why."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.common.errors import InputError, listed
from components.common.spelling import quoted
from components.ingest.hints import unbalanced
from components.ingest.sources.files import SPLIT_NAMES, is_unicode, lies_below
from components.ingest.sources.folders import CLASS, class_folders, files_beside
from components.modalities.modality import Facts
from components.modalities.registry import (
    MODALITIES,
    inspection_of,
    language_modalities,
    learns_transcripts,
    modality,
)
from components.modalities.settings import PlainSettings
from components.start.columns import FILES, Column, DataSet, named
from components.start.explanations import why_no_files, why_no_label
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
SPLITS = ("split", "splits", "subset", "partition")
DENSE = 2  # numbers per row at most, where whole numbers count the rows in another order
FEW_NUMBERS = 20  # distinct whole numbers that are classes
ROWS_PER_CLASS = 3  # at least, on average
EXCEPTIONS = 0.05  # of the rows, with another label than most rows of the same cells
ON_LITTLE_DATA = {"plain": True}  # of encoders
WITH_LABELS = {"keep_heads": True, "label_smoothing": 0.1}  # of those that learn the label, too
CAREFUL = 0.0003  # learning rate of what is added to what encoders say
WHOLE_WORDS = 8_000  # tokens, of which few texts need no parts of words
MUCH = 20_000  # assets, of which encoders learn more than plain features tell
STEPS = 600  # of a training, at least
SEEN = 10_000  # samples in all, where encoders have learnt the label
MOST_EPOCHS = 60
TRAINING = 0.8  # of the rows, where nothing says which


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
    proposal.reasons.extend(data.notes)
    left = [column for column in data.columns if column.cells]
    _put_notes(proposal, left)
    by_column = next((c for c in left if c.splits), None)
    splits = by_column.splits if by_column else data.splits
    _put_role(proposal, left, "split", by_column)
    _drop_unknown_splits(proposal, left)
    _put_splits(proposal, splits, "the data")
    _put_role(proposal, left, "id", _id(left, data.rows))
    media = {c.name: c.media[0] for c in left if c.media}
    target = _target([c for c in left if c.name not in media], data.rows)
    if target is None:
        why = why_no_label(named(data.columns, LABELS), data.rows)
        raise InputError(
            f"found no column to learn: {listed([c.name for c in data.columns])}. A label has the "
            f"same value in several rows, or is a number or a list of words{why}"
        )
    left.remove(target)
    _put_modalities(proposal, left)
    _put_cells(proposal, [c for c in left if not _says(c, target)], data.rows)
    columns = proposal.settings["ingest"]["source"]["columns"]
    if not columns:
        raise InputError(
            f"found no column to learn {target.name!r} from: "
            f"{listed([c.name for c in data.columns])}. Needed are numbers, categories, texts of "
            f"several words, or paths of files below {root}{why_no_files(left)}"
        )
    kind, why = _kind(target)
    task = _word(target.name)
    proposal.put(
        f"tasks.{task}",
        {"kind": kind, "column": target.name},
        f"task {task}: {kind} of the column {target.name!r}, {why}",
    )
    if issubclass(settings_of(kind), ClassTaskSettings):
        _put_balance(proposal, task, target.classes)
    if kind != "generation":  # which encoders do not learn
        _put_sufficient(proposal, task, target, left)
    if not splits:
        _put_group(proposal, data, left, columns)
    for c in left:
        if c.name not in [name for names in columns.values() for name in _list(names)]:
            proposal.reasons.append(f"column {c.name!r}: not used{_why_unused(c, target, data)}")
    by_name, rows = {c.name: c for c in left}, _training_rows(data.rows, by_column)
    parts = {m: [by_name[name] for name in _list(names)] for m, names in columns.items()}
    assets = {m: _training_assets(part, rows) for m, part in parts.items()}
    _put_training(proposal, assets, len(rows))
    return proposal


def propose_for_folders(folder: Path, root: str) -> Proposal:
    """Return settings for folders of classes, whose files are all of one modality."""
    found = class_folders(folder)
    real = folder.resolve()
    held = [
        (part.label, path)
        for part in found
        for path in part.files()
        if is_unicode(str(path)) and lies_below(real, path)
    ]
    files = [path for _, path in held]
    column = Column("files", [str(path) for path in _spread(files)], len(files), folder.resolve())
    if column.media is None:
        raise InputError(f"{folder}: the files are of no known modality, as {listed(files[:3])}")
    m, facts = column.media
    proposal = Proposal()
    if beside := files_beside(folder):
        proposal.reasons.append(
            f"files beside the folders: not used, {listed([path.name for path in beside])}"
        )
    proposal.put("ingest.root", root)
    classes = Counter(sorted(label for label, _ in held if label))
    proposal.put(
        "ingest.source",
        {"kind": "folders", "modality": m},
        f"folders of classes: {len(files)} files of the modality {m}",
    )
    proposal.put(
        f"tasks.{CLASS}",
        {"column": CLASS, "sufficient_modalities": [m]},
        f"task {CLASS}: classification by folder, {len(classes)} classes: {listed(list(classes))}",
    )
    _put_balance(proposal, CLASS, classes)
    _put_splits(proposal, {p.split for p in found if p.split and p.label}, "the folders")
    for part in found:
        if part.label and (inside := sorted(p.name for p in part.path.iterdir() if p.is_dir())):
            proposal.reasons.append(
                f"class {part.label!r}: with the files of the folders in it, {listed(inside)}; if "
                f"those are the classes, start with {part.path}"
            )
    _put_suggested_inputs(proposal, m, facts)
    count = math.ceil(TRAINING * len(files))
    _put_training(proposal, {m: count}, count)
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


def _put_notes(proposal: Proposal, columns: Sequence[Column]) -> None:
    """Say what of the columns looks like a mistake."""
    for c in columns:
        if c.looks_like_rows:
            proposal.reasons.append(
                f"column {c.name!r}: {c.counts[c.name]:,} of its cells are equal to its name. If "
                "the first line is a row, put a line with the names of the columns above it"
            )
    if rest := [c for c in columns if c.numbers and len(c.numbers) < len(c.cells)]:
        proposal.reasons.append(
            f"columns {listed([c.name for c in rest])}: numbers, and words such as NA; where they "
            "are to be learnt, leave such cells empty"
        )


def _drop_unknown_splits(proposal: Proposal, left: list[Column]) -> None:
    """Leave out a column that is called like one of splits; `InputError` if some cells are."""
    column = named(left, SPLITS)
    if column is None:
        return
    unknown = [word for word in column.counts if word.strip().casefold() not in SPLIT_NAMES]
    if unknown and len(unknown) < len(column.counts):
        raise InputError(
            f"column {column.name!r} holds {listed([quoted(word) for word in unknown])}, expected "
            f"one of: {', '.join(SPLIT_NAMES)}. Correct these cells; or rename the column if it "
            "does not say the split"
        )
    left.remove(column)
    words = listed([quoted(word) for word in column.counts])
    why = f"expected {', '.join(SPLIT_NAMES)}" if unknown else "at least two splits are needed"
    proposal.reasons.append(f"column {column.name!r}: not used for splits, it holds {words}; {why}")


def _why_unused(column: Column, target: Column, data: DataSet) -> str:
    """Return a clause for a column without a role; empty if there is no special reason."""
    if _says(column, target):
        return f", as it says what {target.name!r} is"
    if column.is_nested or column.lists is not None:
        return ", as cells are lists or objects"
    if named([column], (*IDS, *GROUPS)) is not None:
        return " to learn from, by its name"
    if len(column.counts) == 1:
        return ", as all cells are the same"
    if column.is_like_numbers:
        return f", as cells such as {column.cells[0]!r} hold more than a number"
    return ", as it numbers the rows" if _names_rows(column, data.rows) else ""


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
    if named([column], (*IDS, *GROUPS)) is not None:
        return True
    numbers = column.numbers or []
    if not len(numbers) == len(column.counts) == rows or not all(map(float.is_integer, numbers)):
        return False
    return numbers == sorted(numbers) or max(numbers) - min(numbers) < DENSE * rows


def _kind(column: Column) -> tuple[str, str]:
    """Return the kind of a task over a column, and why; nothing if it cannot be learnt."""
    distinct = len(column.counts)
    if column.lists is not None:
        return "multilabel", "whose cells are lists"
    if column.is_nested:
        return "", ""
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


def _put_sufficient(
    proposal: Proposal, task: str, target: Column, columns: Iterable[Column]
) -> None:
    """Set that each modality decides the task, if so: then its encoder learns the labels."""
    by_name = {column.name: column for column in columns}
    chosen = proposal.settings["ingest"]["source"]["columns"]
    if any(map(_is_of_cells, chosen)):  # whose encoder learns with the model
        return
    parts = [[by_name[name] for name in _list(names)] for names in chosen.values()]
    if all(_decides(part, target) for part in parts):
        why = f"task {task}: {listed(list(chosen))} may decide it alone, so its encoder learns it"
        proposal.put(f"tasks.{task}.sufficient_modalities", list(chosen), why)


def _decides(columns: Sequence[Column], target: Column) -> bool:
    """Return whether rows with equal cells have, with few exceptions, equal labels."""
    labels: dict[tuple, Counter[str]] = {}
    for row, label in target.by_row.items():
        cells = tuple(column.by_row.get(row) for column in columns)
        if any(cell is not None for cell in cells):
            labels.setdefault(cells, Counter())[label] += 1
    others = sum(counts.total() - max(counts.values()) for counts in labels.values())
    return others <= EXCEPTIONS * len(target.cells)


def _is_of_cells(m: str) -> bool:
    """Return whether the assets of a modality are several cells of a row."""
    return modality(m).is_inline and not modality(m).is_language


def _is_cell(column: Column, rows: int) -> bool:
    """Return whether a column holds numbers, or names that recur."""
    if column.media or column.is_texts or column.lists is not None or column.is_nested:
        return False
    if _names_rows(column, rows) or len(column.counts) < 2:
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


def _put_training(proposal: Proposal, assets: Mapping[str, int], rows: int) -> None:
    """Set what little data needs: enough steps, and encoders that cannot learn it by heart.

    Args:
        assets: for training, by modality.
        rows: for training.
    """
    from components.train.settings import TrainSettings  # here, as it imports torch

    (task,) = proposal.settings["tasks"].values()
    is_little = max(assets.values()) < MUCH
    learnt = is_little and "sufficient_modalities" in task
    if is_little:
        for m in assets:
            takes_plain = issubclass(modality(m).encoder, PlainSettings)
            settings = dict(ON_LITTLE_DATA) if takes_plain else {}
            if learnt:
                settings |= {**WITH_LABELS, **modality(m).little_data}
            for key, value in settings.items():
                proposal.put(f"features.{m}.{key}", value)
    if learnt:
        for m in filter(assets.__contains__, language_modalities()):
            proposal.put(f"preprocess.{m}.vocab_size", WHOLE_WORDS)
        proposal.put("train.learning_rate", CAREFUL, "little data: docs/small_data.md")
    for m, count in assets.items():
        settings = modality(m).encoder.model_validate({})
        seen = modality(m).items_seen if learnt else None
        _put_more_epochs(proposal, f"features.{m}", count, settings, seen)
    joint, seen = TrainSettings(), SEEN if learnt else None
    _put_more_epochs(proposal, "train", assets.get(joint.group_by, rows), joint, seen)


def _put_more_epochs(
    proposal: Proposal, section: str, count: int, settings: Any, seen: int | None
) -> None:
    """Set more epochs than by default, if training needs them: `seen` items in all, or steps."""
    if seen is not None:
        needed = math.ceil(seen / max(1, count))
    else:
        steps = max(1, round(count / settings.batch_size))
        needed = min(MOST_EPOCHS, math.ceil(STEPS / steps))
    if needed > settings.epochs:
        proposal.put(f"{section}.epochs", needed)


def _training_rows(rows: int, by_column: Column | None) -> Collection[int]:
    """Return which rows are for training, or about as many as there will be."""
    if by_column is None:
        return range(math.ceil(TRAINING * rows))
    splits = by_column.by_row.items()
    return {row for row, word in splits if SPLIT_NAMES[word.strip().casefold()] == "train"}


def _training_assets(columns: Iterable[Column], rows: Collection[int]) -> int:
    """Return how many different assets some columns have in some rows."""
    found = {tuple(column.by_row.get(row) for column in columns) for row in rows}
    return sum(any(cell is not None for cell in cells) for cells in found)


def _spread(files: Sequence[Path]) -> Sequence[Path]:
    """Return some of the files, from all classes."""
    return files[:: max(1, len(files) // FILES)][:FILES]


def _word(name: str) -> str:
    """Return a column's name as that of a task."""
    cleaned = "".join(char if char.isascii() and char.isalnum() else "_" for char in name)
    return cleaned.strip("_") or "label"
