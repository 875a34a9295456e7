"""Each media file is read, checked and stored once, in the order of the source."""

from pathlib import Path

import pytest

from components.common.hashing import content_id
from components.data.shards import read_index, read_media
from components.data.tables import read_table
from components.ingest.media_store import ASSETS
from components.ingest.records import Media
from tests.ingest.stage_rows import TABULAR, asset_ids, file, good, quarantine, row, samples
from tests.support.media import png, wav


def test_shared_asset_is_stored_once(ingest):
    other_key = row("c")
    other_key.media["image"] = file("a copy of the file", png())
    assert ingest([row("a"), row("b"), other_key, row("d", image=png(1), answer="no")]) == 0
    assert asset_ids("image") == [content_id(png()), content_id(png(1))]
    assert asset_ids("text") == [content_id(b"is it red?")]
    (shard,) = read_index(Path("media/image"))
    assert list(read_media(Path("media/image"), shard)) == [png(), png(1)]


@pytest.mark.parametrize("count", [2, 300])  # more than the rows that are read side by side
def test_shared_file_is_read_once(ingest, count):
    reads = []

    def load():
        reads.append(1)
        return b"broken"

    rows = [row(str(number)) for number in range(count)]
    for record in rows:
        record.media["image"] = Media("shared.png", load)
    assert ingest([*good(40), *rows]) == 0
    assert len(quarantine()) == count
    assert len(reads) == 1


@pytest.mark.parametrize("workers", [1, 4])
def test_samples_and_media_keep_order_of_source(ingest, workers):
    rows = [row(str(n), image=png(n), answer=str(n % 2)) for n in range(300)]
    assert ingest(rows, workers=workers) == 0
    assert list(samples()["sample_id"]) == [str(n) for n in range(300)]
    assert asset_ids("image") == [content_id(png(n)) for n in range(300)]


def test_table_of_assets_has_facts_of_first_file(ingest):
    copy = row("copy", answer="no")
    copy.media["image"] = file("a copy of the file", png())
    assert ingest([row("a"), copy, row("silent", audio=None, text="☃".encode())]) == 0
    table = read_table(Path("assets.parquet"), ASSETS)
    assert list(table["modality"]) == ["image", "text", "audio", "tabular", "text"]
    image, text, audio, cells, snowman = table.to_dict("records")
    assert image["file"] == f"image {content_id(png())}"
    assert (image["width"], image["height"], image["bytes"]) == (20, 14, len(png()))
    assert (audio["seconds"], audio["rate"], audio["bytes"]) == (0.5, 8000, len(wav()))
    assert (text["characters"], snowman["characters"], snowman["bytes"]) == (10, 1, 3)
    assert (cells["file"], cells["cells"]) == (f"tabular {content_id(TABULAR)}", 1)
    assert table["width"].isna().tolist() == [False, True, True, True, True]
