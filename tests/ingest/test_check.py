"""`python -m components.ingest --check` says what ingest would say, and writes nothing."""

from pathlib import Path

import pytest

from components.ingest import __main__ as stage
from components.ingest import labelled
from components.ingest.__main__ import CHECK
from tests.ingest.sources.source_files import write
from tests.support.media import png
from tests.support.params import small_params, write_params

TABLE = {"kind": "table", "files": ["a.csv"], "columns": {"image": "photo", "text": "text"}}


@pytest.fixture
def check(tmp_path, monkeypatch, caplog):
    """Checks rows of CSV with the columns photo, text and label; returns the exit code and log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(labelled, "check_labels", lambda report, split: None)
    caplog.set_level("INFO")
    for number in range(6):
        write(tmp_path, f"source/{number}.png", png(number))

    def run(lines: list[str], *columns: str, **changes) -> tuple[int, str]:
        header = ",".join(("photo", "text", "label", *columns))
        write(tmp_path, "source/a.csv", "".join(f"{line}\n" for line in (header, *lines)))
        settings = {"ingest.source": TABLE, "ingest.max_bad_fraction": 0.5, "ingest.slices": []}
        settings |= {"tasks": {"animal": {"column": "label"}}, "ingest.splits.validation": 0.0}
        settings |= {f"ingest.{key}": value for key, value in changes.items()}
        write_params(Path("params.yaml"), small_params(settings))
        before = files()
        try:
            CHECK.main([])
        except SystemExit as end:
            return end.code, caplog.text
        finally:
            assert files() == before
        return 0, caplog.text

    return run


def files() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


GOOD = [f"{n}.png,text {n},{'cat' if n % 2 else 'dog'}" for n in range(6)]


def test_usable_source_passes_with_its_classes(check):
    code, log = check(GOOD)
    assert code == 0
    assert "animal: dog 3, cat 3" in log or "animal: cat 3, dog 3" in log
    assert "6 samples" in log and "0 rows in quarantine" in log


def test_way_out_of_a_bad_row_is_printed(check):
    """However long the sentence before it is."""
    Path("source/broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then something else")
    _, log = check([*GOOD, "broken.png,text,cat"])
    assert "; download or save it again (broken.png)" in log


def test_bad_rows_are_printed_by_reason(check):
    code, log = check([*GOOD, "gone.png,text,cat", "../x.png,text,cat", "0.png,x"])
    assert code == 0
    assert "file_unreadable: row a.csv:8: the file cannot be read: No such file" in log
    assert "(gone.png)" in log
    assert "path_outside: row a.csv:9" in log and "row_malformed: row a.csv:10" in log


def test_leaks_of_groups_and_of_files_of_groups_are_found(check, capsys):
    """Splits that a hash of unread files decides are guesses, so leaks that follow are not told."""
    rows = ["0.png,text,cat,train", "0.png,text,dog,test", "1.png,text,dog,train"]
    source = TABLE | {"split": "part"}
    assert check(rows, "part", source=source)[0] == 0
    assert check(rows, "part", source=source, **{"splits.group": "label"})[0] == 2
    assert "(1 of image and 1 of label)" in capsys.readouterr().err


def test_missing_file_is_found_where_files_are_not_read(check, monkeypatch):
    monkeypatch.setattr(stage, "CHECKED_FILES", 2)
    Path("source/5.png").write_bytes(b"not an image")
    code, log = check([*GOOD, "gone.png,text,cat"])
    assert code == 0
    assert "file_unreadable: row a.csv:8" in log and "1 rows in quarantine" in log


def test_mistakes_have_the_code_of_the_stage(check, capsys):
    assert check(GOOD, **{"splits.group": "speaker"})[0] == 2
    assert "does not have: speaker" in capsys.readouterr().err
    assert check([*GOOD, *["gone.png,text,cat"] * 9])[0] == 2
    error = capsys.readouterr().err
    assert "9 of 15 rows of the source are bad" in error
    assert "All of them: data/quarantine.parquet, after dvc repro ingest" in error


def test_repeated_rows_are_told(check):
    _, log = check([*GOOD, "0.png,text 0,dog", "1.png,text 1,cat"])
    assert "samples: 2 of 8 repeat another one in all but its id, all in its split" in log
