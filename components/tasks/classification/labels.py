"""Labels that are one of several classes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa

from components.common.errors import Problem
from components.tasks.labels import LabelEncoder, Labels, Vocabulary, parse_word


@dataclass
class ClassLabelEncoder(LabelEncoder):
    """The classes that occur, sorted."""

    classes: set[str] = field(default_factory=set)

    def add(self, label: str | Sequence[str]) -> None:
        self.classes.update(classes_in(label))

    def finish(self) -> Vocabulary:
        if len(self.classes) < 2:
            named = f" ({', '.join(map(repr, self.classes))})" if self.classes else ""
            raise self._refuse(f"{len(self.classes)} classes{named}", "at least 2 are needed")
        return {"classes": sorted(self.classes)}


@dataclass(frozen=True)
class ClassLabels(Labels):
    """One class per sample."""

    TYPE = pa.string()
    parse = staticmethod(parse_word)
    Encoder = ClassLabelEncoder

    classes: Sequence[str]

    @cached_property
    def codes(self) -> dict[str, int]:
        """Position of each class."""
        return {name: code for code, name in enumerate(self.classes)}

    @property
    def output_names(self) -> Sequence[str]:
        """Meaning of each output of a head, see `Task`."""
        return self.classes

    def problem(self, label: str | Sequence[str]) -> Problem | None:
        unknown = [name for name in classes_in(label) if name not in self.codes]
        if not unknown:
            return None
        named = ", ".join(map(repr, unknown))
        verb = "does" if len(unknown) == 1 else "do"
        return Problem("label_unknown", f"{named} {verb} not occur in the training split")


def classes_in(label: str | Sequence[str]) -> Sequence[str]:
    """Return the classes in a label, which is one class or a set of them."""
    return [label] if isinstance(label, str) else label


LABELS = ClassLabels
