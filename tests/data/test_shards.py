"""Shard sets are functions of their content; only changed shards are made again."""

import random
import tracemalloc
from pathlib import Path

import pytest

from components.common.errors import InputError
from components.common.files import replacing
from components.common.hashing import content_id
from components.data import shards, tables
from components.data.shards import (
    Asset,
    MediaWriter,
    read_assets,
    read_index,
    read_media,
    transform,
)

LABEL = "test"


def asset(number: int) -> Asset:
    content = f"asset {number}".encode()
    return Asset(content_id(content), content)


ASSETS = [asset(number) for number in range(4000)]


def write(folder: Path, assets: list[Asset]) -> list[str]:
    """Write a media set and return the names of its shards."""
    writer = MediaWriter(folder)
    for item in assets:
        writer.add(item)
    writer.close()
    return [shard.name for shard in read_index(folder)]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Convert:
    """Writes the assets of a shard in upper case, and records its name."""

    def __init__(self, source: Path, log: Path):
        self.source, self.log = source, log
        log.mkdir(exist_ok=True)

    def __call__(self, shard, path):
        (self.log / shard.name).touch()
        with replacing(path) as temporary:
            temporary.write_bytes(b"\n".join(read_media(self.source, shard)).upper())


class Fails(Convert):
    """Like Convert, but fails at the third shard."""

    def __call__(self, shard, path):
        if len(list(self.log.iterdir())) == 2:
            raise ZeroDivisionError
        super().__call__(shard, path)


def test_assets_keep_their_order(tmp_path):
    write(tmp_path, ASSETS)
    found = [
        Asset(*pair)
        for shard in read_index(tmp_path)
        for pair in zip(shard.asset_ids, read_media(tmp_path, shard), strict=True)
    ]
    assert found == ASSETS


def test_wanted_assets_are_read_from_their_shards_only(tmp_path):
    write(tmp_path, ASSETS)
    first, *_, last = read_index(tmp_path)
    for shard in read_index(tmp_path)[1:-1]:
        (tmp_path / f"{shard.name}.parquet").unlink()
    wanted = {first.asset_ids[1], last.asset_ids[0], content_id(b"not there")}
    found = [Asset(*pair) for pair in read_assets(tmp_path, wanted)]
    assert found == [asset for asset in ASSETS if asset.asset_id in wanted]
    assert len(found) == 2


def test_contents_can_be_read_again(tmp_path):
    write(tmp_path, ASSETS)
    contents = read_media(tmp_path, read_index(tmp_path)[0])
    once = list(contents)
    assert len(once) == len(contents) > 2 * shards.READ_ASSETS
    assert list(contents) == once == [item.content for item in ASSETS[: len(once)]]


def test_damaged_shard_is_named(tmp_path):
    (name,) = write(tmp_path, ASSETS[:9])
    path = tmp_path / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    wanted = {ASSETS[0].asset_id}
    for use in (lambda: [*read_assets(tmp_path, wanted)], lambda: write(tmp_path, ASSETS[:9])):
        with pytest.raises(InputError, match=f"{path.name} is not Parquet: .*Delete it and run"):
            use()


def test_size_of_shards_is_bounded(tmp_path):
    write(tmp_path, ASSETS)
    sizes = [len(shard.asset_ids) for shard in read_index(tmp_path)]
    assert len(sizes) > 5
    assert all(64 <= size <= 1024 for size in sizes[:-1])


@pytest.mark.parametrize("place", [0, 1500, 3999])
@pytest.mark.parametrize("what", ["insert", "remove"])
def test_one_asset_changes_only_nearby_shards(tmp_path, place, what):
    before = write(tmp_path / "before", ASSETS)
    new = [asset(-1)] if what == "insert" else []
    after = write(tmp_path / "after", [*ASSETS[:place], *new, *ASSETS[place + (not new) :]])
    lost = set(before) - set(after)
    assert 1 <= len(lost) <= 2 < len(before)
    containing = next(
        number
        for number, shard in enumerate(read_index(tmp_path / "before"))
        if ASSETS[place].asset_id in shard.asset_ids
    )
    assert before[:containing] == after[:containing]


def test_names_depend_on_assets_and_their_order(tmp_path):
    few = ASSETS[:10]
    name = write(tmp_path / "a", few)
    assert write(tmp_path / "b", few) == name
    assert write(tmp_path / "c", few[::-1]) != name
    assert write(tmp_path / "d", few[:9]) != name


def test_bytes_of_shard_are_bounded_unless_one_asset_exceeds_them(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CHUNK_BYTES", 100)
    contents = [b"x" * 60, b"y" * 30, b"z" * 30, b"w" * 500, b"v"]
    write(tmp_path, [Asset(content_id(content), content) for content in contents])
    found = [list(read_media(tmp_path, shard)) for shard in read_index(tmp_path)]
    assert found == [contents[:2], contents[2:3], contents[3:4], contents[4:]]


def test_empty_set_is_finished(tmp_path):
    assert write(tmp_path / "set", []) == []


def test_incremental_set_equals_fresh(tmp_path):
    random.Random(0).shuffle(changed := ASSETS[:2000])
    write(tmp_path / "grown", ASSETS)
    write(tmp_path / "grown", changed)
    write(tmp_path / "fresh", changed)
    assert files(tmp_path / "grown") == files(tmp_path / "fresh")


def test_index_may_have_several_batches(tmp_path, monkeypatch):
    names = write(tmp_path / "one", ASSETS)
    monkeypatch.setattr(tables, "BATCH_ROWS", 100)
    assert write(tmp_path / "several", ASSETS) == names
    found = [asset for shard in read_index(tmp_path / "several") for asset in shard.asset_ids]
    assert found == [asset.asset_id for asset in ASSETS]


def test_writer_forgets_assets_that_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CHUNK_ASSETS", 16)
    write(tmp_path, ASSETS[:100])  # all that is imported late
    writer = MediaWriter(tmp_path)
    tracemalloc.start()
    for number in range(4000):
        writer.add(asset(number))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 4000 * len(ASSETS[0].asset_id) / 2


def test_existing_shards_are_not_written_again(tmp_path):
    write(tmp_path, ASSETS)
    before = {path.name: path.stat().st_ino for path in tmp_path.glob("[0-9a-f]*")}
    write(tmp_path, [*ASSETS, asset(-1)])
    after = {path.name: path.stat().st_ino for path in tmp_path.glob("[0-9a-f]*")}
    assert len(before.items() - after.items()) <= 1
    assert len(before.items() & after.items()) >= len(before) - 1


def test_set_without_index_is_continued(tmp_path):
    writer = MediaWriter(tmp_path / "set")
    for item in ASSETS:
        writer.add(item)  # and killed before close
    assert list((tmp_path / "set").glob("*.parquet"))
    with pytest.raises(InputError, match=r"index\.parquet is missing.*dvc repro"):
        read_index(tmp_path / "set")
    write(tmp_path / "set", ASSETS)
    write(tmp_path / "fresh", ASSETS)
    assert files(tmp_path / "set") == files(tmp_path / "fresh")


def test_parallel_transform_equals_serial(tmp_path):
    write(tmp_path / "source", ASSETS)
    made = {}
    for workers in (1, 2):
        target = tmp_path / f"by {workers}"
        convert = Convert(tmp_path / "source", tmp_path / f"log {workers}")
        count = transform(tmp_path / "source", target, convert, ["key"], workers, LABEL)
        assert count == len(read_index(tmp_path / "source"))
        made[workers] = files(target)
    assert made[1] == made[2]


def test_transform_keeps_assets_and_order(tmp_path):
    write(tmp_path / "source", ASSETS)
    convert = Convert(tmp_path / "source", tmp_path / "log")
    transform(tmp_path / "source", tmp_path / "target", convert, [], 1, LABEL)
    old, new = read_index(tmp_path / "source"), read_index(tmp_path / "target")
    assert [shard.asset_ids for shard in old] == [shard.asset_ids for shard in new]
    first = (tmp_path / "target" / f"{new[0].name}.safetensors").read_bytes()
    assert first == b"\n".join(read_media(tmp_path / "source", old[0])).upper()


def test_incremental_transform_equals_fresh(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    write(source, ASSETS)
    transform(source, target, Convert(source, tmp_path / "first"), ["r"], 1, LABEL)
    names = set(write(source, [*ASSETS[:1500], asset(-1), *ASSETS[1500:]]))
    known = {path.name for path in (tmp_path / "first").iterdir()}
    count = transform(source, target, Convert(source, tmp_path / "second"), ["r"], 1, LABEL)
    assert {path.name for path in (tmp_path / "second").iterdir()} == names - known
    assert 1 <= count <= 2
    transform(source, tmp_path / "fresh", Convert(source, tmp_path / "third"), ["r"], 1, LABEL)
    assert files(target) == files(tmp_path / "fresh")


def test_other_cache_key_makes_every_shard_again(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    write(source, ASSETS)
    count = transform(source, target, Convert(source, tmp_path / "log"), ["a"], 1, LABEL)
    before = set(files(target))
    assert transform(source, target, Convert(source, tmp_path / "log"), ["b"], 1, LABEL) == count
    assert set(files(target)) & before == {"index.parquet"}


@pytest.mark.parametrize("workers", [1, 2])
def test_interrupted_transform_continues(tmp_path, workers):
    source, target = tmp_path / "source", tmp_path / "target"
    write(source, ASSETS)
    with pytest.raises(ZeroDivisionError):
        transform(source, target, Fails(source, tmp_path / "fails"), ["r"], workers, LABEL)
    with pytest.raises(InputError, match="is missing"):
        read_index(target)
    done = len(list(target.iterdir()))
    assert 2 <= done < len(read_index(source))
    count = transform(source, target, Convert(source, tmp_path / "log"), ["r"], workers, LABEL)
    assert count == len(read_index(source)) - done
    transform(source, tmp_path / "fresh", Convert(source, tmp_path / "log"), ["r"], 1, LABEL)
    assert files(target) == files(tmp_path / "fresh")
