"""Flickr30k: a token file or Karpathy's JSON in the published formats, with their oddities."""

import pytest

from components.common.errors import InputError
from components.ingest.sources.flickr30k import Flickr30kSettings, read
from tests.ingest.sources.documented import documented
from tests.ingest.sources.source_files import (
    assert_memory_is_flat,
    context,
    outcomes,
    texts,
    write,
    write_images,
)
from tests.support.media import png

TOKENS = (
    "1000092795.jpg#0\tTwo young guys with shaggy hair look at their hands .\n"
    '1000092795.jpg#1\tTwo " young , White males " are outside near many bushes .\n'
    "10002456.jpg#0\tSeveral men in hard hats are operating a giant pulley system .\n"
)


def rows_of(root, content, name="results_20130124.token"):
    """Return all rows of a captions file."""
    (root / "images").mkdir(exist_ok=True)
    write(root, name, content)
    return list(read(Flickr30kSettings(images="images", captions=name), context(root)))


def sentence(number: int, text: str = "A dog .", image: int = 0) -> dict:
    words = text.lower().split()
    return {"tokens": words, "raw": text, "imgid": image, "sentid": number}


def image(filename="1000092795.jpg", split="train", sentences=(), **more) -> dict:
    return {
        "sentids": [s["sentid"] for s in sentences if isinstance(s, dict) and "sentid" in s],
        "imgid": 0,
        "sentences": list(sentences),
        "split": split,
        "filename": filename,
        **more,
    }


def karpathy(*images, dataset="flickr30k") -> dict:
    return {"images": list(images), "dataset": dataset}


def rows_of_json(root, *images):
    return rows_of(root, karpathy(*images), "dataset.json")


def test_documented_settings_read_token_file(tmp_path):
    settings = documented("Flickr30k, and Flickr8k", 1).source
    write_images(tmp_path, f"{settings.images}/1000092795.jpg", f"{settings.images}/10002456.jpg")
    write(tmp_path, settings.captions, TOKENS)
    rows = list(read(settings, context(tmp_path)))
    assert texts(rows) == {
        "results_20130124.token:1000092795.jpg#0": (
            "Two young guys with shaggy hair look at their hands ."
        ),
        "results_20130124.token:1000092795.jpg#1": (
            'Two " young , White males " are outside near many bushes .'
        ),
        "results_20130124.token:10002456.jpg#0": (
            "Several men in hard hats are operating a giant pulley system ."
        ),
    }
    assert {row.split for row in rows} == {None}
    assert rows[1].columns == {"image_id": "1000092795.jpg", "caption_id": "1000092795.jpg#1"}
    assert [row.media["image"].load() for row in rows] == [png(0), png(0), png(1)]


def test_documented_settings_read_karpathy_splits(tmp_path):
    settings = documented("Flickr30k, and Flickr8k").source
    splits = {"a.jpg": "train", "b.jpg": "val", "c.jpg": "test", "d.jpg": "restval"}
    write_images(tmp_path, *(f"{settings.images}/{name}" for name in splits))
    images = [
        image(name, split, [sentence(2 * n, f"{name} ."), sentence(2 * n + 1, "A\nline break . ")])
        for n, (name, split) in enumerate(splits.items())
    ]
    write(tmp_path, settings.captions, karpathy(*images))
    rows = list(read(settings, context(tmp_path)))
    assert [row.split for row in rows[::2]] == ["train", "validation", "test", "train"]
    assert [row.row_id for row in rows[:2]] == [
        "dataset_flickr30k.json:a.jpg#0",
        "dataset_flickr30k.json:a.jpg#1",
    ]
    assert rows[3].columns == {"image_id": "b.jpg", "caption_id": "b.jpg#1"}
    assert rows[3].media["text"].load() == b"A\nline break . "
    assert rows[6].media["image"].load() == png(3)


def test_karpathy_coco_has_caption_ids_and_folders(tmp_path):
    entry = image(
        "COCO_val2014_000000391895.jpg",
        "restval",
        [sentence(770337), sentence(771687)],
        filepath="val2014",
        cocoid=391895,
    )
    rows = rows_of_json(tmp_path, entry)
    assert [row.columns["caption_id"] for row in rows] == ["770337", "771687"]
    assert rows[0].media["image"].key == "images/val2014/COCO_val2014_000000391895.jpg"


def test_image_without_sentences_has_no_text(tmp_path):
    (row,) = rows_of_json(tmp_path, image("a.jpg", "test", []))
    assert texts([row]) == {"dataset.json:image a.jpg": None}
    assert (row.split, row.columns["caption_id"]) == ("test", None)


def test_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    content = b"\xef\xbb\xbf" + TOKENS.replace("\n", "\r\n\r\n").encode()
    assert texts(rows_of(tmp_path, content)) == texts(rows_of(tmp_path, TOKENS))


def test_text_beyond_ascii_is_kept(tmp_path):
    rows = rows_of(tmp_path, "a.jpg#0\t一只狗\u2028🐕\tcafé #1\t.\nb.jpg#0\t")
    assert list(texts(rows).values()) == ["一只狗\u2028🐕\tcafé #1\t.", ""]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a.jpg\tno number", "row_malformed"),
        (b"a.jpg#0 no tab", "row_malformed"),
        (b"#0\tno image", "row_malformed"),
        (b"a.jpg#one\tno number", "row_malformed"),
        (b"a.jpg#0\t\xe9t\xe9", "text_not_utf8"),
    ],
)
def test_malformed_line_costs_one_row(tmp_path, line, reason):
    rows = rows_of(tmp_path, b"a.jpg#0\tA dog .\n" + line + b"\nb.jpg#0\tA cat .\n", "t.txt")
    assert outcomes(rows) == [
        ("t.txt:a.jpg#0", None),
        ("t.txt:line 2", reason),
        ("t.txt:b.jpg#0", None),
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("../../x.jpg", "path_outside"), ("/x.jpg", "path_absolute"), ("a\0.jpg", "path_invalid")],
)
def test_image_outside_root_is_bad(tmp_path, name, reason):
    assert outcomes(rows_of(tmp_path, f"{name}#0\tA dog .\n", "t.token")) == [
        (f"t.token:{name}#0", reason)
    ]
    bad = image(name, sentences=[sentence(0), sentence(1)])
    assert outcomes(rows_of_json(tmp_path, bad, image("b.jpg", sentences=[sentence(2)]))) == [
        ("dataset.json:images[0].sentences[0]", reason),
        ("dataset.json:images[0].sentences[1]", reason),
        ("dataset.json:b.jpg#0", None),
    ]


def test_unpublished_image_of_flickr8k_fails_when_loaded(tmp_path):
    (row,) = rows_of(
        tmp_path, "2258277193_586949ec62.jpg.1#0\tSome people .\n", "Flickr8k.token.txt"
    )
    with pytest.raises(FileNotFoundError):
        row.media["image"].load()


@pytest.mark.parametrize(
    ("entry", "row_id", "reason"),
    [
        (image("a.jpg", "dev", [sentence(0)]), "images[0].sentences[0]", "split_unknown"),
        (image("a.jpg", None, [sentence(0)]), "images[0].sentences[0]", "field_missing"),
        (image(None, "train", [sentence(0)]), "images[0].sentences[0]", "field_missing"),
        (image(sentences=[sentence(0)], filepath=3), "images[0].sentences[0]", "field_invalid"),
        (image(sentences=[{"raw": "."}], cocoid=1), "images[0].sentences[0]", "field_missing"),
        (image(None), "images[0]", "field_missing"),
        ("a.jpg", "images[0]", "row_malformed"),
        (image("a.jpg", "train", [{"sentid": 0}]), "a.jpg#0", "field_missing"),
        (image("a.jpg", "train", ["A dog ."]), "a.jpg#0", "row_malformed"),
    ],
)
def test_malformed_image_or_sentence_costs_one_row(tmp_path, entry, row_id, reason):
    rows = rows_of_json(tmp_path, entry, image("b.jpg", sentences=[sentence(1)]))
    assert outcomes(rows) == [(f"dataset.json:{row_id}", reason), ("dataset.json:b.jpg#0", None)]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is not JSON"), (b'{"images": []}', "no element in a list 'images'")],
)
def test_json_of_other_format_is_refused(tmp_path, content, message):
    with pytest.raises(InputError, match=message):
        rows_of(tmp_path, content, "dataset.json")


def test_paths_in_settings_must_exist(tmp_path):
    settings = Flickr30kSettings(images="images", captions="captions.token")
    with pytest.raises(InputError, match=r"ingest.source.images: \S+images does not exist"):
        list(read(settings, context(tmp_path)))
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match=r"source.captions: \S+captions.token does not exist"):
        list(read(settings, context(tmp_path)))


def test_json_is_read_as_stream(tmp_path):
    """A truncated file gives its rows, then the error."""
    images = [image(f"{n}.jpg", sentences=[sentence(n)]) for n in range(1000)]
    (tmp_path / "images").mkdir()
    path = write(tmp_path, "dataset.json", karpathy(*images))
    path.write_bytes(path.read_bytes()[:-20])
    rows = read(Flickr30kSettings(images="images", captions="dataset.json"), context(tmp_path))
    assert next(rows).row_id == "dataset.json:0.jpg#0"
    with pytest.raises(InputError, match="dataset.json is not JSON"):
        list(rows)


@pytest.mark.parametrize("name", ["captions.token", "captions.json"])
def test_memory_is_flat(tmp_path, name):
    (tmp_path / "images").mkdir()

    def prepare(rows):
        if name.endswith(".json"):
            images = (image(f"{n}.jpg", sentences=[sentence(n)]) for n in range(rows))
            write(tmp_path, name, karpathy(*images))
        else:
            write(tmp_path, name, "".join(f"{n}.jpg#0\tA dog , {n} .\n" for n in range(rows)))
        return lambda: read(Flickr30kSettings(images="images", captions=name), context(tmp_path))

    assert_memory_is_flat(prepare)
