"""Tables of every format give every row once, as a record or as a bad row with a reason."""

import csv
import io
import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.errors import InputError
from components.ingest.records import BadRow, Record
from components.ingest.sources.table import TableSettings, read
from components.modalities.registry import MODALITIES
from tests.ingest.sources.documented import chapter, documented
from tests.ingest.sources.source_files import context, write

MAPPED = {"image": "photo", "text": "caption", "audio": "voice", "split": "part", "id": "key"}


def rows(
    root: Path, files=("*",), *, id: str | None = None, split: str | None = None, **columns: str
) -> list[Record | BadRow]:
    """Return all rows of tables; `columns` maps modalities, by default the text alone."""
    columns = columns or {"text": "text"}
    settings = TableSettings(files=files, columns=columns, id=id, split=split)
    return list(read(settings, context(root)))


def seen(found: list[Record | BadRow]) -> list[tuple[str, str]]:
    """Return the id of each row with its text, or the reason why there is none."""
    return [
        (row.row_id, row.reason if isinstance(row, BadRow) else row.media["text"].key)
        for row in found
    ]


def write_as(suffix: str, folder: Path, table: list[dict]) -> None:
    """Write rows in one of the formats."""
    path, frame = folder / f"rows{suffix}", pd.DataFrame(table)
    match suffix:
        case ".parquet":
            frame.to_parquet(path, index=False)
        case ".csv" | ".tsv":
            frame.to_csv(path, index=False, sep="," if suffix == ".csv" else "\t")
        case _:
            path.write_text("".join(f"{json.dumps(row)}\n" for row in table))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"])
def test_formats_give_equal_records(tmp_path, suffix):
    table = [
        {"key": "a", "photo": "i/1.png", "caption": "cat, \"it's\"\nhere", "voice": "s/1.wav",
         "part": "Train", "answer": "yes", "speaker": "x"},
        {"key": "b", "photo": "i/1.png", "caption": None, "voice": None,
         "part": "val", "answer": None, "speaker": "猫 🐈"},
    ]  # fmt: skip
    write_as(suffix, tmp_path, table)
    write(tmp_path, "i/1.png", b"picture")
    first, second = rows(tmp_path, ["rows.*"], **MAPPED)
    assert (first.row_id, first.split) == ("a", "train")
    assert (second.row_id, second.split) == ("b", "validation")
    assert {m: media.key for m, media in first.media.items()} == {
        "image": "i/1.png", "text": "cat, \"it's\"\nhere", "audio": "s/1.wav",
    }  # fmt: skip
    assert first.media["image"].load() == b"picture"
    assert first.media["text"].load() == first.media["text"].key.encode()
    assert list(second.media) == ["image"]
    assert first.columns == {"answer": "yes", "speaker": "x"}
    assert second.columns == {"answer": None, "speaker": "猫 🐈"}


def test_row_without_id_is_named_by_place(tmp_path):
    write(tmp_path, "a.csv", 'text\n"two\nlines"\n\nlast\n')
    write(tmp_path, "b.jsonl", '{"text": "x"}\n\n{"text": "y"}')
    pd.DataFrame({"text": ["p", "q"]}).to_parquet(tmp_path / "c.parquet")
    assert seen(rows(tmp_path)) == [
        ("a.csv:2", "two\nlines"), ("a.csv:5", "last"), ("b.jsonl:1", "x"), ("b.jsonl:3", "y"),
        ("c.parquet:0", "p"), ("c.parquet:1", "q"),
    ]  # fmt: skip


def test_files_are_read_once_in_sorted_order(tmp_path):
    for name in ("b/2.csv", "b/1.csv", "a/3.csv"):
        write(tmp_path, name, f"text\n{name}\n")
    found = rows(tmp_path, ["b/*.csv", "**/*.csv"])
    assert [row.media["text"].key for row in found] == ["a/3.csv", "b/1.csv", "b/2.csv"]


def test_row_has_columns_of_all_files(tmp_path):
    write(tmp_path, "a.csv", "text,answer\nx,yes\n")
    write(tmp_path, "b.jsonl", '{"text": "y"}\n{"text": "z", "mood": "good"}\n')
    assert [row.columns for row in rows(tmp_path)] == [
        {"answer": "yes", "mood": None},
        {"answer": None, "mood": None},
        {"answer": None, "mood": "good"},
    ]


def test_values_of_json_lines(tmp_path):
    values = ["x", "", " ", 3, 2.5, True, None, ["a", 1], [], {"k": "ü"}, float("nan"), 2**60 + 1]
    write(tmp_path, "a.jsonl", "".join(json.dumps({"text": "t", "v": v}) + "\n" for v in values))
    assert [row.columns["v"] for row in rows(tmp_path)] == [
        "x", None, None, 3.0, 2.5, "true", None, ("a", "1"), (), '{"k": "ü"}', None, str(2**60 + 1),
    ]  # fmt: skip


def test_list_of_lists_names_its_column(tmp_path):
    write(tmp_path, "a.jsonl", '{"text": "t", "v": [["a"]]}\n')
    (bad,) = rows(tmp_path)
    assert (bad.asset, bad.detail) == ("v", "'v' holds a list, expected one text")


def test_values_of_parquet(tmp_path):
    columns = {
        "text": ["a", "b"],
        "whole": pa.array([7, None], pa.int32()),
        "list": [["x", "y"], None],
        "day": [date(2026, 1, 2), None],
        "decimal": [Decimal("1.5"), None],
        "category": pa.array(["u", None]).dictionary_encode(),
        "blob": [b"x", b"y"],
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    first, second = rows(tmp_path)
    assert first.columns == {
        "whole": 7.0, "list": ("x", "y"), "day": "2026-01-02", "decimal": 1.5, "category": "u",
    }  # fmt: skip
    assert second.columns == dict.fromkeys(first.columns)


def test_several_columns_are_one_asset(tmp_path):
    """Texts line by line, numbers and categories as JSON; they stay columns for slices too."""
    table = "title,body,age,breed\nHi,there,3,tabby\n,alone,,\n,,4,\n"
    (tmp_path / "a.csv").write_text(table)
    columns = {"text": ("title", "body"), "tabular": ("age", "breed")}
    found = list(read(TableSettings(files=("*",), columns=columns), context(tmp_path)))
    contents = [{m: media.load() for m, media in row.media.items()} for row in found]
    assert contents == [
        {"text": b"Hi\nthere", "tabular": b'{"age": "3", "breed": "tabby"}'},
        {"text": b"alone"},
        {"tabular": b'{"age": "4"}'},
    ]
    assert found[0].columns == {"title": "Hi", "body": "there", "age": "3", "breed": "tabby"}


def test_files_have_one_column():
    with pytest.raises(ValueError, match="image: found a, b, expected one column, of files"):
        TableSettings(files=("*",), columns={"image": ("a", "b")})


def test_each_of_several_columns_must_exist(tmp_path):
    (tmp_path / "a.csv").write_text("age\n3\n")
    with pytest.raises(InputError, match="columns.tabular: .* has no column 'breed'"):
        read(TableSettings(files=("*",), columns={"tabular": ("age", "breed")}), context(tmp_path))


def test_numeric_id_is_exact(tmp_path):
    write(tmp_path, "a.jsonl", '{"text": "x", "n": 12345678901234567890}\n{"text": "y", "n": 7}\n')
    write(tmp_path, "b.csv", "text,n\nz,\n")
    found = rows(tmp_path, text="text", id="n")
    assert [row.row_id for row in found] == ["12345678901234567890", "7", "b.csv:2"]


def test_bad_rows_of_csv_have_reasons(tmp_path):
    content = b"\xef\xbb\xbftext,part\r\nok,train\r\ncaf\xe9,train\r\nx\r\nx,train,y\r\n,train\r\n"
    content += b'x,holdout\r\n"x"y,train\r\nok,\r\n'
    write(tmp_path, "a.csv", content)
    assert seen(rows(tmp_path, text="text", split="part")) == [
        ("a.csv:2", "ok"),
        ("a.csv:3", "row_not_utf8"),
        ("a.csv:4", "row_malformed"),
        ("a.csv:5", "row_malformed"),
        ("a.csv:6", "row_empty"),
        ("a.csv:7", "split_unknown"),
        ("a.csv:8", "row_malformed"),
        ("a.csv:9", "ok"),
    ]


@pytest.mark.parametrize("tail", ["", 'c,"three"\n'])
def test_unclosed_quote_costs_one_row(tmp_path, tail):
    write(tmp_path, "a.csv", f'id,text\na,one\nb,"two\nx,more\ny,"quoted"\n{tail}')
    expected = [("a", "one"), ("a.csv:3", "row_malformed"), ("x", "more"), ("y", "quoted")]
    assert seen(rows(tmp_path, text="text", id="id")) == expected + (
        [("c", "three")] if tail else []
    )


def test_bad_rows_of_json_lines_have_reasons(tmp_path):
    bad = [b'{"text": "x"', b"[1]", b'"x"', b"{}", b'{"text": "caf\xe9"}', b'{"text": "\\ud800"}']
    bad += [b'{"text": ["a", "b"]}', b"[" * 100_000, b'{"n": ' + b"9" * 5000 + b"}"]
    good = b'{"text": "\\ud83d\\ude00"}'
    write(tmp_path, "a.jsonl", b"\r\n".join([good, *bad, good]))
    assert [reason for _, reason in seen(rows(tmp_path))] == [
        "😀", "row_unreadable", "row_unreadable", "row_unreadable", "row_empty", "row_not_utf8",
        "row_not_utf8", "row_malformed", "row_unreadable", "row_unreadable", "😀",
    ]  # fmt: skip


def test_invalid_utf8_in_parquet_costs_one_row(tmp_path):
    column = pa.array([b"ok", b"caf\xe9", b"ok"]).view(pa.string())
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")
    assert [reason for _, reason in seen(rows(tmp_path))] == ["ok", "row_unreadable", "ok"]


def test_damaged_row_group_costs_its_rows(tmp_path):
    path, texts = tmp_path / "a.parquet", [f"text {n}" for n in range(300)]
    pq.write_table(
        pa.table({"text": texts}),
        path,
        row_group_size=100,
        compression="zstd",
        use_dictionary=False,
    )
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + 60] = bytes(60)
    path.write_bytes(content)
    found = seen(rows(tmp_path))
    assert [line for line, _ in found] == [f"a.parquet:{n}" for n in range(300)]
    expected = [*texts[:100], *["row_unreadable"] * 100, *texts[200:]]
    assert [text for _, text in found] == expected


def test_unsafe_path_is_bad_row(tmp_path):
    write(tmp_path, "a.csv", "key,photo\n1,../x.png\n2,/x.png\n3,i\\x.png\n")
    found = rows(tmp_path, image="photo", id="key")
    assert [(row.row_id, row.asset, row.reason) for row in found] == [
        ("1", "../x.png", "path_outside"),
        ("2", "/x.png", "path_absolute"),
        ("3", "i\\x.png", "path_backslash"),
    ]


def test_mixed_types_are_read(tmp_path):
    values = ["t", 5, 2.5, True, None]
    write(tmp_path, "a.jsonl", "".join(f"{json.dumps({'a': v, 'text': 'x'})}\n" for v in values))
    found = rows(tmp_path, text="a", image="text")
    texts = [row.media["text"].key if "text" in row.media else None for row in found]
    assert texts == ["t", "5", "2.5", "true", None]


def test_media_in_parquet_are_bytes_structs_or_paths(tmp_path):
    write(tmp_path, "i.png", b"file")
    structs = [{"bytes": b"own", "path": "1.png"}, {"bytes": None, "path": "i.png"}, None]
    columns = {"photo": structs, "voice": [b"sound", None, None], "text": ["a", "b", "c"]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    found = rows(tmp_path, ["*.parquet"], image="photo", audio="voice", text="text")
    media = [{m: (f.key, f.load()) for m, f in row.media.items() if m != "text"} for row in found]
    assert media == [
        {"image": ("a.parquet:0:photo", b"own"), "audio": ("a.parquet:0:voice", b"sound")},
        {"image": ("i.png", b"file")},
        {},
    ]


def test_cell_of_a_megabyte_is_read(tmp_path):
    text = "a long story, " * 100_000
    stream = io.StringIO()
    csv.writer(stream).writerows([["text"], [text], ["end"]])
    write(tmp_path, "a.csv", stream.getvalue())
    assert [row.media["text"].key for row in rows(tmp_path)] == [text, "end"]


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [
        ("a.csv", "text;answer\nx;y\n", "';' separates its columns: set ingest.source.delimiter"),
        ("a.csv", "text\tanswer\nx\ty\n", 'set ingest.source.delimiter: "\\t"'),
        ("a.tsv", "text,answer\nx,y\n", 'set ingest.source.delimiter: ","'),
    ],
)
def test_other_delimiter_is_named(tmp_path, name, content, hint):
    write(tmp_path, name, content)
    with pytest.raises(InputError) as error:
        rows(tmp_path)
    assert hint in str(error.value)


def test_first_line_of_excel_says_the_delimiter(tmp_path):
    write(tmp_path, "a.csv", 'sep=;\r\ntext;answer\r\nx;"1,5"\r\n')
    (found,) = rows(tmp_path)
    assert (found.row_id, found.media["text"].key) == ("a.csv:3", "x")
    assert found.columns == {"answer": "1,5"}


def test_decimal_comma_is_a_setting(tmp_path):
    write(tmp_path, "a.csv", "text;n\nx;1,5\nx;-1.234.567,25\nx;1,5 kg\nx;1,2,3\n1,5;7\n")
    settings = {"files": ("*",), "columns": {"text": "text"}, "delimiter": ";", "decimal": ","}
    found = list(read(TableSettings(**settings), context(tmp_path)))
    assert [row.columns["n"] for row in found] == ["1.5", "-1234567.25", "1,5 kg", "1,2,3", "7"]


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_line_ends_of_any_system(tmp_path, end):
    write(tmp_path, "a.csv", f'text,n{end}x,1\n"y{end}z",2{end}w,3')
    assert seen(rows(tmp_path)) == [("a.csv:2", "x"), ("a.csv:3", "y\nz"), ("a.csv:5", "w")]


def test_header_within_joined_files_is_no_row(tmp_path):
    write(tmp_path, "a.csv", "text,n\nx,1\n\ufefftext,n\ny,2\ntext,n\ntext,3\n")
    found = rows(tmp_path)
    assert [reason for _, reason in seen(found)] == [
        "x", "row_malformed", "y", "row_malformed", "text",
    ]  # fmt: skip
    assert "repeats the header" in found[1].detail


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("text,n\nx,1,,\n", "ends in ',': let the header end in it too"),
        ("text,n\nx,y,1\n", "A cell that holds ',' or a line end needs quotes"),
        ("# made by a tool\ntext,n\n", r"\('# made by a tool'\). The names of the columns must be"),
        ('text,n\n"x\\"y",1\n"z",2\n', "If .* is a quote, double it: sed "),
        ('text,n\n"x "y" z",1\n"z",2\n', "a quote in a cell in quotes is not doubled"),
    ],
)
def test_malformed_row_names_the_way_out(tmp_path, content, hint):
    write(tmp_path, "a.csv", content)
    column = "# made by a tool" if content.startswith("#") else "text"
    bad = rows(tmp_path, text=column)[0]
    assert re.search(hint, bad.detail)


def test_key_with_two_values_is_refused(tmp_path):
    """One of them would be lost, and no one could say which."""
    write(tmp_path, "a.jsonl", '{"text": "x", "label": "a", "label": "b"}\n{"text": "y"}\n')
    bad, good = rows(tmp_path)
    assert (bad.reason, good.media["text"].key) == ("row_unreadable", "y")
    assert "the key 'label' occurs twice" in bad.detail


@pytest.mark.parametrize("content", ['[{"text": "x"}, {"text": "y"}]', '{\n"text": "x"\n}'])
def test_json_in_one_piece_names_conversion(tmp_path, content):
    write(tmp_path, "a.jsonl", content)
    with pytest.raises(InputError, match="it looks like JSON: .*jq -c "):
        rows(tmp_path)
    write(tmp_path, "a.jsonl", '{"text": "y"}\n' + content)
    assert all("jq -c " in row.detail for row in rows(tmp_path) if isinstance(row, BadRow))


def test_bytes_that_are_text_are_read_as_text(tmp_path):
    """As programs write Parquet without saying that a column is text."""
    columns = {"text": [b"ok", "é".encode(), b" ", b"caf\xe9"], "n": ["1", "2", "3", "4"]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert [reason for _, reason in seen(rows(tmp_path))] == [
        "ok", "é", "row_empty", "row_not_utf8",
    ]  # fmt: skip


def test_delimiter_is_a_setting(tmp_path):
    write(tmp_path, "a.csv", 'text;answer\nx;"1;5"\n')
    settings = TableSettings(files=("*",), columns={"text": "text"}, delimiter=";")
    (found,) = read(settings, context(tmp_path))
    assert (found.media["text"].key, found.columns) == ("x", {"answer": "1;5"})


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_missing_column_is_named_before_reading(tmp_path, suffix):
    write_as(suffix, tmp_path, [{"caption": "x", "answer": "y"}])
    with pytest.raises(InputError) as error:
        read(TableSettings(files=("*",), columns={"text": "captoin"}), context(tmp_path))
    assert (
        f"rows{suffix} has no column 'captoin'. Did you mean 'caption'? It has: caption, answer"
    ) in str(error.value)
    assert str(error.value).startswith("ingest.source.columns.text: ")


LINES = b'{"text": "x, y", "n": 1}\n{"text": "z", "n": 2}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv: no header .* the file is empty"),
        ("a.csv", b"t\xe9xt\nx\n", "a.csv: no header .* it is not UTF-8"),
        ("a.csv", b"text,b,b\n1,2,3\n", "a.csv has two columns of one name: b"),
        ("a.csv", "text\nx\n".encode("utf-16"), "a.csv is UTF-16, expected UTF-8"),
        ("a.parquet", b"text\nx\n", "a.parquet is not Parquet"),
        (
            "a.xlsx",
            b"PK\3\4",
            "a.xlsx has an unknown format, .* of: .csv, .tsv, .jsonl, .ndjson, .parquet. It is a "
            "ZIP archive, as .xlsx is: .* in Excel save it as CSV UTF-8",
        ),
        ("a.json", b"[{}]", "a.json has an unknown format, .*. It looks like JSON: .* jq -c "),
        ("a.json", LINES, "It looks like JSON Lines: let its name end in .jsonl"),
        ("a.json", b"text,n\nx,1\n", "It looks like CSV: let its name end in .csv"),
        ("a.parquet", b"PAR1\x15\0", "is not Parquet: .*; download or save it again"),
        ("a.parquet", b"\x1f\x8b", "is not Parquet: it is compressed by gzip: unpack it"),
        ("a.parquet", b"text,n\nx,1\n", "not Parquet: it looks like CSV: let its name end in .csv"),
        ("a.parquet", LINES, "not Parquet: it looks like JSON Lines: let its name end in .jsonl"),
        ("a.csv", LINES, "is not CSV or TSV: it looks like JSON Lines: let its name end in .jsonl"),
        ("a.csv", b'{"text": "' + b"x" * 999, "it looks like JSON Lines"),
        ("a.tsv", b'[{"text": "x"}]', r"it looks like JSON: .* jq -c '.\[\]' FILE > NEW"),
        ("a.csv", b'[\n {\n  "text": "x"', "it looks like JSON: "),
        ("a.csv", b"PAR1\x15\0", "is not text: it is Parquet: let its name end in .parquet"),
        ("a.csv", b"PK\3\4", "is not text: it is a ZIP archive, as .xlsx is: .* save it as CSV"),
        ("a.jsonl", b"text,n\nx,1\n", "is not JSON Lines: it looks like CSV: let its name end in"),
        ("a.jsonl", b"\xef\xbb\xbftext\tn\nx\t1", "it looks like TSV: let its name end in .tsv"),
        ("a.ndjson", b'[{"text": "x"}]', "is not JSON Lines: it looks like JSON: "),
        ("a.jsonl", b"PAR1\x15\0", "is not text: it is Parquet: let its name end in .parquet"),
    ],
)
def test_file_of_other_format_is_refused(tmp_path, name, content, message):
    write(tmp_path, name, content)
    with pytest.raises(InputError, match=message):
        rows(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("a.csv", b"text,n\n{},1\n[x],2\n", ["{}", "[x]"]),
        ("a.csv", b"{text},text\n[,x\n", ["x"]),
        ("a.jsonl", b'text,n\n{"text": "x"}\n', ["x"]),  # its first line is damaged
        ("a.jsonl", b'\n{"text": "x"}', ["x"]),
    ],
)
def test_unusual_text_is_taken_for_what_its_name_says(tmp_path, name, content, texts):
    write(tmp_path, name, content)
    found = (row for row in rows(tmp_path) if isinstance(row, Record))
    assert [row.media["text"].key for row in found] == texts


def test_files_called_like_splits_are_named(tmp_path, caplog):
    """Since their rows are split by a hash all the same."""
    for name in ("train.csv", "my_test.csv"):
        write(tmp_path, name, "text,part\nx,train\n")
    assert {row.split for row in rows(tmp_path, text="text", split="part")} == {"train"}
    assert "called like splits" not in caplog.text
    assert {row.split for row in rows(tmp_path)} == {None}
    assert "my_test.csv, train.csv are called like splits (test, train), and all" in caplog.text


def test_glob_without_match_is_named(tmp_path):
    write(tmp_path, "data/rows.csv", "text\nx\n")
    with pytest.raises(InputError) as error:
        rows(tmp_path, ["data/*.parquet"])
    for part in ("ingest.source.files", "'data/*.parquet'", "data holds rows.csv"):
        assert part in str(error.value)
    with pytest.raises(InputError, match="Did you mean 'data'?"):
        rows(tmp_path, ["daat/*.csv"])


@pytest.mark.parametrize("pattern", ["../*.csv", "/*.csv", "", "link.csv"])
def test_glob_outside_root_is_refused(tmp_path, pattern):
    write(tmp_path, "outside.csv", "text\nx\n")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/link.csv").symlink_to(tmp_path / "outside.csv")
    with pytest.raises(InputError, match="ingest.source.files: "):
        rows(tmp_path / "root", [pattern])


def test_documented_settings_read_table(tmp_path):
    ingest = documented("Table")
    table = re.search(r"```csv\n(.*?)```", chapter("Table"), re.S)[1]
    write(tmp_path, "rows.csv", table)
    found = list(read(ingest.source, context(tmp_path)))
    assert found and all(isinstance(row, Record) for row in found)
    assert {modality for row in found for modality in row.media} == set(MODALITIES)
    assert set(ingest.slices) | {ingest.splits.group} <= found[0].columns.keys()
