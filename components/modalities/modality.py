"""Contracts of a modality: its record, and what each part of its folder provides.

A modality is a folder with these modules; all but `training`, `transcripts`, `plain_features` and
`remarks` are required.

- `modality`: `MODALITY`, the record.
- `inspection`, `processing`, `plain_features`, `remarks`: the functions of `Inspection`,
  `Processing`, `PlainFeatures` and `Remarks`, below.
- `encoders`, `training`, `transcripts`: those of the protocols in `components.modalities.encoding`.
- `corruptions`: `CORRUPTIONS`, by name.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from components.common.errors import Problem
from components.huggingface.locate import EncoderNames
from components.modalities.settings import EncoderSettings, InputSettings

Facts = Mapping[str, int | float | str | bytes]  # about one asset, by name, for the data report
FINGERPRINT = "fingerprint"  # a fact
UNCUT = 0.98  # of the assets, which a suggested length leaves whole


@dataclass(frozen=True)
class Limit:
    """The setting of `inputs` beyond which the rest of a file is cut, and the fact it limits."""

    setting: str
    fact: str


@dataclass(frozen=True)
class Modality:
    """Facts about a modality that need neither its decoder nor its networks.

    Its column in the model's signature has the `mlflow_type`. Of a `string`, cells of tables hold
    the content itself; of a `binary`, paths or bytes of files.
    """

    name: str  # also that of its folder
    # Sections `preprocess.<name>`, from files to tensors, and `features.<name>`, the encoder and
    # its training; every setting of them has a default.
    inputs: type[InputSettings]
    encoder: type[EncoderSettings]
    encoder_names: EncoderNames  # of encoders that are not pretrained models
    measures: Mapping[str, str]  # fact about an asset → its name in plots, with unit
    mlflow_type: Literal["string", "binary"]
    is_leak: bool  # whether equal assets in two splits are a leak
    # Euclidean distance of the fingerprints, as bytes, of two copies of an asset, such as one in
    # another format; None if assets have no fingerprint.
    copies_within: float | None = None
    limit: Limit | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)  # by key of `suggested_inputs`
    # What suits an encoder that learns labels from little data: values of `encoder`, and how many
    # items it sees in all; more are learnt by heart.
    little_data: Mapping[str, Any] = field(default_factory=dict)
    items_seen: int = 10_000
    losses: Sequence[str] = ()  # of the training of its encoders, besides those of tasks
    encoder_keys: tuple[str, ...] = ("encoder",)  # of `encoder`, which preprocessing reads too
    plain_keys: tuple[str, ...] = ()  # of `inputs`, which `PlainFeatures` read
    is_language: bool = False  # whether assets are texts that people write, as prompts are

    @property
    def is_inline(self) -> bool:
        """Whether a cell of a table holds the content itself, as text."""
        return self.mlflow_type == "string"

    def combine(self, cells: Mapping[str, str]) -> str:
        """Return the content that cells of one row are together: column → text, at least one.

        Only of a modality whose assets are inline.
        """
        return "\n".join(cells.values())

    def check(self, inputs: InputSettings, encoder: EncoderSettings) -> None:
        """Raise ValueError if the two sections of settings do not fit each other."""

    def suggested_inputs(self, facts: Sequence[Facts]) -> dict[str, Any]:
        """Return values of `inputs` that suit some assets, at least one."""
        return {}


def nearly_longest(lengths: Iterable[float]) -> float:
    """Return the length that all but a few of the longest do not exceed."""
    ordered = sorted(lengths)
    return ordered[int(len(ordered) * UNCUT)]


@dataclass(frozen=True)
class Preview:
    """What a person sees of an asset in a report: text in its place or about it, a thumbnail."""

    text: str | None = None
    png: bytes | None = None


class Inspection(Protocol):
    """Part `inspection`."""

    def inspect(self, content: bytes) -> Facts | Problem:
        """Return facts about a file, or why it cannot be used.

        `FINGERPRINT`, if it is one of them, has the same length for every asset.
        """
        ...

    def preview(self, content: bytes) -> Preview:
        """Return what a person sees of a usable file."""
        ...


class Remarks(Protocol):
    """Part `remarks`: what looks like a mistake though every asset can be used."""

    def remarks(self, contents: Sequence[bytes]) -> list[str]:
        """Return sentences about usable files, with what was found and the way out."""
        ...


class UnusableAsset(ValueError):
    """A file that cannot be used, with the reason as a stable code."""

    def __init__(self, reason: str, detail: str):
        super().__init__(reason, detail)  # both, so that it passes from process to process
        self.reason = reason

    def __str__(self) -> str:
        return self.args[1]

    @property
    def problem(self) -> Problem:
        """The same as a value."""
        return Problem(self.reason, str(self))


class Processor(Protocol):
    """Converts files into tensors."""

    def __call__(self, contents: Iterable[bytes]) -> Mapping[str, ArrayLike]:
        """Convert files, the first dimension of each tensor; UnusableAsset if one is unusable."""
        ...


@runtime_checkable
class CuttingProcessor(Protocol):
    """A processor that keeps the beginning of a long file."""

    def cut(self, contents: Iterable[bytes]) -> int:
        """Return how many usable files are longer than what is kept of them."""
        ...


class RowProcessor(ABC):
    """A processor that converts file by file into one tensor, called `tensor`, of uint8."""

    tensor: str
    shape: tuple[int, ...]  # of a file's part of it

    @abstractmethod
    def rows(self, contents: Iterable[bytes]) -> Iterator[np.ndarray]:
        """Yield the part of each file, uint8 of `shape`; UnusableAsset if one cannot be used."""

    def __call__(self, contents: Iterable[bytes]) -> dict[str, np.ndarray]:
        rows = list(self.rows(contents))
        stacked = np.stack(rows) if rows else np.empty((0, *self.shape), np.uint8)
        return {self.tensor: stacked}


@dataclass(frozen=True)
class Preparation:
    """What a processor is prepared from."""

    inputs: Any  # section `preprocess.<modality>`
    encoder: str  # setting `features.<modality>.encoder`
    pretrained: Path  # folder of the modality in pretrained/
    media: Path  # media shard set of the modality
    plain: bool = False  # setting `features.<modality>.plain`, where the processor needs it


class Processing(Protocol):
    """Part `processing`."""

    def prepare(self, preparation: Preparation) -> dict[str, Any]:
        """Return the state of a processor, JSON; InputError if settings name something unusable."""
        ...

    def build(self, state: Mapping[str, Any]) -> Processor:
        """Return the processor of a state."""
        ...

    def export(self, state: Mapping[str, Any], folder: Path, name: str) -> dict[str, Any]:
        """Write parts of a state that settings can name; return settings that name them.

        The files go to `folder`, that of the modality in pretrained/, and are called `name`.
        """
        ...


class PlainFeatures(Protocol):
    """Part `plain_features`: what the baselines see of assets."""

    def describe(self, content: bytes, inputs: Any) -> Any:
        """Return what a usable file holds, without what needs other files; small.

        `inputs` has the `plain_keys` of the section `preprocess.<modality>`; None without any.
        """
        ...

    def vectorizer(self) -> Any:
        """Return a transformer of scikit-learn from a list of N descriptions to a matrix [N, D].

        Rows have lengths of about 1, so that one strength of regularisation suits every modality.
        """
        ...
