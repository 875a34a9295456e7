"""Every line of CSV and TSV is in a row or in quarantine, whatever quotes it holds."""

from pathlib import Path

import pytest

from components.ingest.records import BadRow, Record
from components.ingest.sources.table import TableSettings, read
from tests.ingest.sources.source_files import context

PLAIN = [(f"{n}.mp3", f"sentence {n}", f"label {n % 2}") for n in range(40)]


def rows(root: Path, quoting: str = "auto") -> list[Record | BadRow]:
    settings = TableSettings(files=("*.*",), columns={"text": "sentence"}, quoting=quoting)
    return list(read(settings, context(root)))


def write_rows(root: Path, suffix: str, changes: dict[int, str]) -> Path:
    """Write 40 rows of three columns without quoting; `changes` are sentences by row."""
    mark = "\t" if suffix == ".tsv" else ","
    lines = [mark.join(("path", "sentence", "label"))]
    lines += [mark.join((p, changes.get(n, s), label)) for n, (p, s, label) in enumerate(PLAIN)]
    path = root / f"rows{suffix}"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def place(row: Record | BadRow) -> int:
    return int(row.row_id.partition(":")[2])


@pytest.mark.parametrize("suffix", [".tsv", ".csv"])
def test_two_stray_quotes_swallow_no_row(tmp_path, suffix, caplog):
    """Seven rows apart; no cell shows that the file is quoted."""
    write_rows(tmp_path, suffix, {10: '"so he said', 17: 'and she said "so"'})
    caplog.set_level("INFO")
    found = rows(tmp_path)
    assert [place(row) for row in found] == list(range(2, 42))
    assert all(isinstance(row, Record) for row in found)
    assert [row.columns["label"] for row in found] == [label for *_, label in PLAIN]
    assert found[10].media["text"].key == '"so he said'
    for part in ("quotes are read as text", "line 12 ", "ingest.source.quoting"):
        assert part in caplog.text


@pytest.mark.parametrize("last", [11, 17])
def test_quoted_file_gives_lines_of_a_swallowing_cell_to_quarantine(tmp_path, last):
    write_rows(tmp_path, ".csv", {3: '"yes, really"', 10: '"so he said', last: 'and left"'})
    found = rows(tmp_path)
    assert [place(row) for row in found] == list(range(2, 42))
    bad = [row for row in found if isinstance(row, BadRow)]
    assert [place(row) for row in bad] == list(range(12, last + 3))
    assert {row.reason for row in bad} == {"row_malformed"}
    for part in (f"line 12 that is closed in line {last + 2}", "ingest.source.quoting: none"):
        assert part in bad[0].detail


@pytest.mark.parametrize("suffix", [".tsv", ".csv"])
def test_cell_with_line_ends_stays_one_row(tmp_path, suffix, caplog):
    write_rows(tmp_path, suffix, {5: '"one\ntwo ""2""\n\nthree"'})
    caplog.set_level("INFO")
    found = rows(tmp_path)
    assert found[5].media["text"].key == 'one\ntwo "2"\n\nthree'
    assert len(found) == 40 and all(isinstance(row, Record) for row in found)
    assert "1 rows have several lines, in quoted cells; the longest is lines 7 to 10" in caplog.text


def test_unquoted_file_keeps_quotes_of_sentences(tmp_path):
    """As Common Voice writes them."""
    changes = {1: '"Go," he said.', 2: '"', 3: '"Go."', 4: 'an "odd" one', 5: '"Who', 39: '"last'}
    write_rows(tmp_path, ".tsv", changes)
    found = rows(tmp_path)
    assert [row.media["text"].key for row in found] == [
        changes.get(n, sentence) for n, (_, sentence, _) in enumerate(PLAIN)
    ]


def test_setting_decides(tmp_path):
    write_rows(tmp_path, ".csv", {1: '"so he said', 2: 'and left"', 4: '"yes"'})
    as_text = rows(tmp_path, "none")
    assert len(as_text) == 40
    assert [as_text[n].media["text"].key for n in (1, 4)] == ['"so he said', '"yes"']
    as_cells = rows(tmp_path, "quotes")
    assert [place(row) for row in as_cells] == [2, 3, *range(5, 42)]
    assert as_cells[3].media["text"].key == "yes"


def test_lines_of_swallowing_cell_in_file_of_quotes(tmp_path):
    """Where one column has quotes everywhere, the lines without a pair are in quarantine."""
    changes = {n: f'"{s}"' for n, (_, s, _) in enumerate(PLAIN)} | {20: '"open', 30: 'shut"'}
    write_rows(tmp_path, ".csv", changes)
    found = rows(tmp_path)
    assert [place(row) for row in found] == list(range(2, 42))
    bad = {place(row) for row in found if isinstance(row, BadRow)}
    assert bad and bad <= set(range(22, 33))
    good = {place(row): row for row in found if isinstance(row, Record)}
    assert all(row.columns["label"] == PLAIN[n - 2][2] for n, row in good.items())
