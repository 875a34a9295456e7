"""Labels of retrieval: a value that assets which belong together share."""

from dataclasses import dataclass

import pyarrow as pa

from components.tasks.labels import LabelEncoder, Labels, Vocabulary, parse_word


@dataclass
class ValueLabelEncoder(LabelEncoder):
    """Learns nothing: what counts is whether two assets share a value, not which one."""

    value: str | None = None
    several: bool = False

    def add(self, label: str) -> None:
        self.several |= self.value not in (None, label)
        self.value = label

    def finish(self) -> Vocabulary:
        if not self.several:
            found = "nothing" if self.value is None else f"one value, {self.value!r},"
            raise self._refuse(found, "at least 2 different values are needed")
        return {}


@dataclass(frozen=True)
class ValueLabels(Labels):
    """A value per sample, which its assets carry; it may be one that is not in training."""

    TYPE = pa.string()
    parse = staticmethod(parse_word)
    Encoder = ValueLabelEncoder
    COUNTED = False


LABELS = ValueLabels
