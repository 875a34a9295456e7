"""COCO: files in the published format, with their oddities."""

import pickle

import pytest

from components.common.errors import InputError
from components.common.files import read_json
from components.ingest.records import BadRow
from components.ingest.sources.coco import CocoSettings, read
from tests.ingest.sources.documented import documented, documented_tasks
from tests.ingest.sources.source_files import (
    assert_memory_is_flat,
    context,
    outcomes,
    texts,
    write,
    write_images,
)
from tests.support.media import png

LICENSES = [{"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": "Attribution"}]
CATEGORIES = [
    {"supercategory": "person", "id": 1, "name": "person"},
    {"supercategory": "animal", "id": 18, "name": "dog"},
    {"supercategory": "vehicle", "id": 2, "name": "bicycle"},
]


def image(number: int, file_name: str | None = None) -> dict:
    return {
        "license": 4,
        "file_name": file_name or f"{number:012d}.jpg",
        "coco_url": f"http://images.cocodataset.org/train2017/{number:012d}.jpg",
        "height": 14,
        "width": 20,
        "date_captured": "2013-11-14 16:28:13",
        "id": number,
    }


def caption(number, image_id, text="A dog.") -> dict:
    return {"image_id": image_id, "id": number, "caption": text}


def instance(number, image_id, category_id, iscrowd=0) -> dict:
    outline = {"counts": [5, 275], "size": [14, 20]} if iscrowd else [[1.5, 2.25, 3, 4, 5.125, 6]]
    return {
        "segmentation": outline,
        "area": 12.5,
        "iscrowd": iscrowd,
        "image_id": image_id,
        "bbox": [1.0, 2.0, 3.5, 4.0],
        "category_id": category_id,
        "id": number,
    }


def captions_file(images, captions) -> dict:
    """Return the content of a file, with COCO's order of keys."""
    info = {"description": "COCO 2017 Dataset", "year": 2017}
    return {"info": info, "licenses": LICENSES, "images": images, "annotations": captions}


def instances_file(images, instances, categories=CATEGORIES) -> dict:
    return {**captions_file(images, instances), "categories": categories}


def settings(**splits) -> CocoSettings:
    return CocoSettings.model_validate({"splits": splits})


TRAIN = {"images": "train", "captions": "captions.json"}


def rows_of(root, images, captions, instances=None, **extra):
    """Return all rows of a split with these files."""
    (root / "train").mkdir(exist_ok=True)
    write(root, "captions.json", captions_file(images, captions))
    split = dict(TRAIN)
    if instances is not None:
        write(root, "instances.json", instances_file(images, instances, **extra))
        split["instances"] = "instances.json"
    return list(read(settings(train=split), context(root)))


def test_documented_settings_read_captions_with_categories(tmp_path):
    for year, first in (("train2017", 9), ("val2017", 139)):
        images = [image(first), image(first + 1)]
        write_images(tmp_path, *(f"coco/{year}/{i['file_name']}" for i in images))
        captions = [caption(first * 10 + n, images[n % 2]["id"]) for n in range(4)]
        instances = [instance(first, first, 18), instance(first + 1, first, 1)]
        folder = "coco/annotations"
        write(tmp_path, f"{folder}/captions_{year}.json", captions_file(images, captions))
        write(tmp_path, f"{folder}/instances_{year}.json", instances_file(images, instances))
    rows = list(read(documented("COCO").source, context(tmp_path)))
    assert [(row.row_id, row.split) for row in rows] == [
        *((f"captions_train2017.json:{number}", "train") for number in range(90, 94)),
        *((f"captions_val2017.json:{number}", "test") for number in range(1390, 1394)),
    ]
    assert rows[0].columns == {
        "categories": ("dog", "person"),
        "captions": ("A dog.", "A dog."),
        "image_id": "9",
        "caption_id": "90",
    }
    assert rows[1].columns["categories"] == ()
    assert rows[0].media["image"].key == "coco/train2017/000000000009.jpg"
    assert rows[0].media["image"].load() == png(0)
    assert rows[2].media["image"].key == rows[0].media["image"].key
    assert {task.column for task in documented_tasks("COCO")} <= rows[0].columns.keys()


def test_caption_is_taken_as_published(tmp_path):
    published = ["A man on a\nmotorcycle. ", " \u4e00\u53ea\u72d7\r\n", "", "caf\u00e9 \U0001f415"]
    rows = rows_of(tmp_path, [image(9)], [caption(n, 9, text) for n, text in enumerate(published)])
    assert list(texts(rows).values()) == published
    assert [row.media["text"].key for row in rows] == published


def test_images_without_captions_come_last(tmp_path):
    rows = rows_of(
        tmp_path,
        [image(7), image(9), image(8)],
        [caption(1, 9)],
        [instance(5, 8, 2)],
    )
    assert texts(rows) == {
        "captions.json:1": "A dog.",
        "captions.json:image 7": None,
        "captions.json:image 8": None,
    }
    assert rows[2].columns == {
        "categories": ("bicycle",), "captions": None, "image_id": "8", "caption_id": None,
    }  # fmt: skip


def test_row_has_all_captions_of_image(tmp_path):
    captions = [caption(1, 9, "One."), caption(2, 7, "Two."), caption(3, 9, "Three.")]
    captions += [{**caption(4, 9), "caption": 5}, caption(5, 404)]
    rows = rows_of(tmp_path, [image(9), image(7)], captions)
    assert outcomes(rows[3:]) == [
        ("captions.json:4", "field_invalid"), ("captions.json:5", "image_unlisted"),
    ]  # fmt: skip
    assert [row.columns["captions"] for row in rows[:3]] == [
        ("One.", "Three."), ("Two.",), ("One.", "Three."),
    ]  # fmt: skip


def test_categories_are_unknown_without_instances(tmp_path):
    (row,) = rows_of(tmp_path, [image(9)], [caption(1, 9)])
    assert row.columns["categories"] is None


def test_instances_alone_give_images_without_text(tmp_path):
    (tmp_path / "train").mkdir()
    write(tmp_path, "instances.json", instances_file([image(9), image(7)], [instance(1, 7, 18)]))
    split = {"images": "train", "instances": "instances.json"}
    rows = list(read(settings(train=split), context(tmp_path)))
    assert texts(rows) == {"instances.json:image 9": None, "instances.json:image 7": None}
    assert [row.columns["categories"] for row in rows] == [(), ("dog",)]


def test_list_of_images_can_replace_captions(tmp_path):
    """As image_info_test2017.json."""
    (tmp_path / "train").mkdir()
    listing = {"info": {}, "images": [image(9)], "licenses": LICENSES, "categories": CATEGORIES}
    write(tmp_path, "captions.json", listing)
    rows = read(settings(test=TRAIN), context(tmp_path))
    assert outcomes(rows) == [("captions.json:image 9", None)]


def test_category_counts_once_crowds_included(tmp_path):
    instances = [instance(1, 9, 18), instance(2, 9, 18), instance(900100000009, 9, 1, iscrowd=1)]
    (row,) = rows_of(tmp_path, [image(9)], [caption(1, 9)], instances)
    assert row.columns["categories"] == ("dog", "person")


def test_unknown_category_makes_categories_unknown(tmp_path):
    instances = [instance(1, 9, 18), instance(2, 9, 99), instance(3, 8, 18)]
    instances.append({**instance(4, 7, 18), "category_id": None})
    bad_one, bad_two, *rows = rows_of(
        tmp_path,
        [image(9), image(8), image(7)],
        [caption(1, 9), caption(2, 8), caption(3, 7)],
        instances,
    )
    assert bad_one == BadRow(
        "instances.json:2", "99", "category_unlisted", "category 99 is not in the file's list"
    )
    assert (bad_two.row_id, bad_two.reason) == ("instances.json:4", "field_missing")
    assert [row.columns["categories"] for row in rows] == [None, ("dog",), None]


def test_annotation_of_unlisted_image_is_bad(tmp_path):
    rows = rows_of(tmp_path, [image(9)], [caption(1, 9), caption(2, 404)], [instance(3, 405, 18)])
    assert outcomes(rows) == [
        ("instances.json:3", "image_unlisted"),
        ("captions.json:1", None),
        ("captions.json:2", "image_unlisted"),
    ]
    assert rows[2].asset == "404"


def test_order_of_keys_does_not_matter(tmp_path):
    rows = rows_of(tmp_path, [image(9), image(7)], [caption(1, 9)], [instance(5, 9, 18)])
    for name in ("captions.json", "instances.json"):
        content = read_json(tmp_path / name)
        write(tmp_path, name, dict(reversed(content.items())))
    again = list(read(settings(train={**TRAIN, "instances": "instances.json"}), context(tmp_path)))
    assert texts(again) == texts(rows)
    assert [row.columns for row in again] == [row.columns for row in rows]


@pytest.mark.parametrize(
    ("file_name", "reason"),
    [
        ("../../secret.jpg", "path_outside"),
        ("a/../../../secret.jpg", "path_outside"),
        ("/etc/hostname", "path_absolute"),
        ("link.jpg", "path_outside"),
        ("folder/secret.jpg", "path_outside"),
        ("", "path_invalid"),
        ("a\0.jpg", "path_invalid"),
    ],
)
def test_file_outside_root_is_bad(tmp_path, file_name, reason):
    root = tmp_path / "root"
    (root / "train").mkdir(parents=True)
    secret = write(tmp_path, "secret.jpg", png())
    (root / "train" / "link.jpg").symlink_to(secret)
    (root / "train" / "folder").symlink_to(tmp_path)
    images = [image(9), {**image(7), "file_name": file_name}, {**image(8), "file_name": file_name}]
    rows = rows_of(root, images, [caption(1, 9), caption(2, 7)])
    assert outcomes(rows) == [
        ("captions.json:1", None),
        ("captions.json:2", reason),
        ("captions.json:image 8", reason),
    ]


def test_links_within_root_are_followed(tmp_path):
    write_images(tmp_path, "other/dog.jpg")
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "link.jpg").symlink_to("../other/dog.jpg")
    images = [image(9, "link.jpg"), image(7, "../other/dog.jpg")]
    rows = rows_of(tmp_path, images, [caption(1, 9), caption(2, 7)])
    assert [row.media["image"].load() for row in rows] == [png(0), png(0)]


def test_missing_image_fails_when_loaded(tmp_path):
    (row,) = rows_of(tmp_path, [image(9)], [caption(1, 9)])
    with pytest.raises(FileNotFoundError):
        row.media["image"].load()


def test_records_are_picklable(tmp_path):
    write_images(tmp_path, f"train/{image(9)['file_name']}")
    (row,) = rows_of(tmp_path, [image(9)], [caption(1, 9)])
    sent = pickle.loads(pickle.dumps(row))
    assert sent.media["image"].load() == png(0)
    assert sent.media["text"].load() == b"A dog."


@pytest.mark.parametrize(
    ("entry", "row_id", "reason"),
    [
        ({"image_id": 9, "id": 2}, "captions.json:2", "field_missing"),
        ({"image_id": 9, "id": 2, "caption": None}, "captions.json:2", "field_missing"),
        ({"image_id": 9, "id": 2, "caption": 3.5}, "captions.json:2", "field_invalid"),
        ({"id": 2, "caption": "?"}, "captions.json:2", "field_missing"),
        ({"image_id": True, "id": 2, "caption": "?"}, "captions.json:2", "field_invalid"),
        ({"image_id": 9, "caption": "?"}, "captions.json:annotations[1]", "field_missing"),
        (
            {"image_id": 9, "id": [2], "caption": "?"},
            "captions.json:annotations[1]",
            "field_invalid",
        ),
        ("A dog.", "captions.json:annotations[1]", "row_malformed"),
        (None, "captions.json:annotations[1]", "row_malformed"),
    ],
)
def test_malformed_caption_costs_one_row(tmp_path, entry, row_id, reason):
    rows = rows_of(tmp_path, [image(9)], [caption(1, 9), entry, caption(3, 9)])
    assert outcomes(rows) == [
        ("captions.json:1", None),
        (row_id, reason),
        ("captions.json:3", None),
    ]


def test_malformed_and_duplicate_images_are_bad(tmp_path):
    images = [image(9), {"id": 8}, image(9), image(9, "other.jpg")]
    rows = rows_of(tmp_path, images, [caption(1, 9), caption(2, 8)])
    assert outcomes(rows) == [
        ("captions.json:images[1]", "field_missing"),
        ("captions.json:images[3]", "id_duplicate"),
        ("captions.json:1", None),
        ("captions.json:2", "image_unlisted"),
    ]
    assert rows[2].media["image"].key == "train/000000000009.jpg"


def test_ids_match_as_strings_and_numbers(tmp_path):
    rows = rows_of(tmp_path, [{**image(9), "id": "9"}], [caption("a", 9)])
    assert outcomes(rows) == [("captions.json:a", None)]


def test_byte_order_mark_and_windows_line_ends_are_read(tmp_path):
    rows_of(tmp_path, [image(9)], [caption(1, 9)])
    content = (tmp_path / "captions.json").read_bytes().replace(b", ", b",\r\n")
    write(tmp_path, "captions.json", b"\xef\xbb\xbf" + content)
    assert outcomes(read(settings(train=TRAIN), context(tmp_path))) == [("captions.json:1", None)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "captions.json is not JSON"),
        (b'{"images": [{"id": 9', "captions.json is not JSON"),
        (b'{"images": [{"id": 9, "file_name": "\xe9.jpg"}]}', "captions.json is not JSON"),
        (b'{"images": [{"id": 9, "file_name": "\\udc00.jpg"}]}', "captions.json is not JSON"),
        (b"[]", "no element in a list 'images'"),
        (b'{"images": [], "annotations": []}', "no element in a list 'images'"),
        (b'{"images": {"id": 9}}', "no element in a list 'images'"),
    ],
)
def test_file_of_other_format_is_refused(tmp_path, content, message):
    (tmp_path / "train").mkdir()
    write(tmp_path, "captions.json", content)
    with pytest.raises(InputError, match=message):
        list(read(settings(train=TRAIN), context(tmp_path)))


def test_instances_without_categories_are_refused(tmp_path):
    with pytest.raises(InputError, match="no element in a list 'categories'"):
        rows_of(tmp_path, [image(9)], [caption(1, 9)], [instance(1, 9, 18)], categories=[])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"captions": "gone.json"}, r"captions: \S+gone.json does not exist"),
        ({"captions": "../captions.json"}, r"captions: found '../captions.json', expected a path"),
        ({"captions": "/etc/hostname"}, r"captions: found '/etc/hostname', expected a path"),
        ({"instances": "gone.json"}, r"instances: \S+gone.json does not exist"),
        ({"images": "gone"}, r"images: \S+gone does not exist"),
        ({"images": ".."}, r"images: found '..', expected a path below"),
        ({"images": "captions.json"}, r"images: captions.json .* is a file, expected a folder"),
        ({"captions": "train"}, r"captions: train .* is a folder, expected a file"),
    ],
)
def test_paths_in_settings_must_exist_below_root(tmp_path, changes, message):
    root = tmp_path / "root"
    root.mkdir()
    rows_of(root, [image(9)], [caption(1, 9)])
    write(tmp_path, "captions.json", b"{}")
    with pytest.raises(InputError, match=rf"ingest\.source\.splits\.train\.{message}"):
        list(read(settings(train={**TRAIN, **changes}), context(root)))


def test_files_of_same_name_are_refused(tmp_path):
    for split in ("a", "b"):
        write(tmp_path, f"{split}/captions.json", captions_file([image(9)], [caption(1, 9)]))
    splits = {s: {"images": s, "captions": f"{s}/captions.json"} for s in ("a", "b")}
    with pytest.raises(InputError, match="have the same name"):
        list(read(settings(train=splits["a"], test=splits["b"]), context(tmp_path)))


def test_split_without_annotations_is_refused():
    with pytest.raises(ValueError, match="captions or instances is needed, found neither"):
        settings(train={"images": "train"})


def test_memory_is_flat(tmp_path):
    (tmp_path / "train").mkdir()

    def prepare(rows):
        images = [image(number) for number in range(rows // 2)]
        captions = [caption(number, number // 2, f"A dog, {number}.") for number in range(rows)]
        instances = [instance(number, number, 18) for number in range(rows // 2)]
        write(tmp_path, "captions.json", captions_file(images, captions))
        write(tmp_path, "instances.json", instances_file(images, instances))
        split = {**TRAIN, "instances": "instances.json"}
        return lambda: read(settings(train=split), context(tmp_path))

    assert_memory_is_flat(prepare)
