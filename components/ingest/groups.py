"""Groups of rows that belong in one split, such as all rows of a speaker."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.errors import InputError
from components.data.samples import SAMPLE_ID, SPLIT, Split, asset_column
from components.data.tables import count_rows
from components.ingest.ledger import Ledger
from components.ingest.settings import IngestSettings
from components.ingest.splits import choose_split
from components.modalities.registry import MODALITIES


@dataclass(frozen=True)
class Groups:
    """The groups of a source, and which split each is in."""

    ledger: Ledger
    settings: IngestSettings
    seed: int

    def split(self, row_id: str, group: str | None, given: Split | None) -> Split:
        """Return the split of a row, and record its group; None is a group by itself.

        A row without a split has that of an earlier row of its group that has one.
        """
        splits = self.settings.splits
        if group is None:
            return choose_split(given, row_id, splits, self.seed)
        given = given or self.ledger.given_split(splits.group, group)
        self.ledger.add_group(row_id, splits.group, group, given)
        return choose_split(given, group, splits, self.seed)

    def settle(self, sample: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a sample in the split that the source gives later rows of its group, if any.

        Raises `InputError` if its text was spoken meanwhile, in a voice of another split.
        """
        name, row_id = self.settings.splits.group, sample[SAMPLE_ID]
        if (late := self.ledger.late_split(name, row_id)) is None:
            return sample
        group, given = late
        split = choose_split(given, group, self.settings.splits, self.seed)
        if split != sample[SPLIT] and self.settings.speech and self.settings.speech.voices:
            raise InputError(
                f"ingest.speech.voices: row {row_id} has no split and was spoken in a voice of "
                f"{sample[SPLIT]}; a later row of its group ({name} {group}) is in {split}. Give "
                "every row of a group its split, or put the rows that have one first"
            )
        return {**sample, SPLIT: split}

    def uses(self, samples: Path) -> Iterator[tuple[str, str, Split]]:
        """Yield what `of` does of all samples in a file, with their splits."""
        for m in MODALITIES:
            for (asset_id, split), _ in count_rows(samples, asset_column(m), SPLIT):
                if asset_id:
                    yield m, asset_id, split
        name = self.settings.splits.group
        if name not in MODALITIES:
            for (row_id, split), _ in count_rows(samples, SAMPLE_ID, SPLIT):
                if group := self.ledger.group(row_id):
                    yield name, group, split

    def of(self, sample: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield the assets of a sample by modality, and its group by the column that names it."""
        for m in MODALITIES:
            if asset_id := sample[asset_column(m)]:
                yield m, asset_id
        name = self.settings.splits.group
        if name not in MODALITIES and (group := self.ledger.group(sample[SAMPLE_ID])):
            yield name, group
