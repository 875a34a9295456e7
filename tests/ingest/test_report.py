"""The data report shows what is in the data."""

from dataclasses import replace
from pathlib import Path

import pytest

from components.common.files import read_json
from components.ingest.report import classes_in
from tests.ingest.stage_rows import file, good, row
from tests.support.media import png


def test_report_shows_sizes_duplicates_and_samples(ingest):
    odd = {"image": png(3, size=(40, 30)), "text": b"<i>what?</i>"}
    odd["tabular"] = b'{"age": 4, "breed": "<u>tabby</u>"}'
    rows = [*good(8), row("<b>odd</b>", **odd)]
    copy = row("copy")
    copy.media["image"] = file("a copy of the file", png())
    rows += [
        copy,
        row("broken", image=b"?"),
        row("silent", audio=None, text="\N{SNOWMAN}".encode()),
    ]
    assert ingest(rows, plots=True) == 0
    report = read_json(Path("report.json"))
    assert report["media"]["image"]["width"] == {"least": 20.0, "median": 30.0, "most": 40.0}
    seconds = report["media"]["audio"]["seconds"]
    assert seconds["least"] == seconds["most"] == 0.5
    assert report["media"]["tabular"]["cells"] == {"least": 1.0, "median": 1.5, "most": 2.0}
    assert report["duplicates"] == {"image": 1, "text": 0, "audio": 0, "tabular": 0}
    page = Path("page.html").read_text()
    assert "&lt;i&gt;what?&lt;/i&gt;" in page and "<i>" not in page and "<b>odd" not in page
    assert "age: 4, breed: &lt;u&gt;tabby&lt;/u&gt;" in page and "<u>" not in page
    assert "☃" in page and "image_undecodable" in page
    assert "http" not in page and "<script" not in page
    plots = {path.name for path in Path("plots").iterdir()}
    assert plots == {"samples.png", "classes_answer.png", "media.png", "quarantine.png"}
    first = {path: path.read_bytes() for path in [*Path("plots").iterdir(), Path("page.html")]}
    assert ingest(rows, on_leak="allow", plots=True) == 0
    assert {path: path.read_bytes() for path in first} == first


@pytest.mark.parametrize(
    ("cell", "classes"), [(None, []), ("cat", ["cat"]), (["cat", "dog"], ["cat", "dog"]), ([], [])]
)
def test_classes_in_cell(cell, classes):
    assert classes_in(cell) == classes


def test_assets_that_look_like_mistakes_are_named(ingest, caplog):
    rows = [row(str(n), answer="ab"[n % 2], image=None, audio=None) for n in range(9)]
    cells = [*map(str, range(8)), "-999"]
    rows = [
        replace(each, media={**each.media, "tabular": file(cell, b'{"x": %s}' % cell.encode())})
        for each, cell in zip(rows, cells, strict=True)
    ]
    assert ingest(rows, plots=True, on_leak="allow") == 0
    (remark,) = read_json(Path("report.json"))["remarks"]["tabular"]
    assert remark.startswith("column 'x': -999 lies far from the other numbers, 0 to 7")
    assert f"tabular: {remark}" in caplog.text
    assert "-999 lies far" in Path("page.html").read_text()
