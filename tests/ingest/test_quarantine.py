"""Bad rows are kept with their reasons, and too many of them stop the stage."""

from pathlib import Path

import pytest

from components.common.errors import InputError
from components.data.tables import read_table
from components.ingest.quarantine import QUARANTINE, Quarantine
from components.ingest.records import BadRow
from tests.ingest.stage_rows import good, reasons, row

BAD = BadRow("line 7", "cat.png", "image_undecodable", "the image cannot be decoded")


def test_too_many_bad_rows_stop_stage(ingest, capsys):
    bad = [row("bad/0", image=b"?"), row("bad/1", text=b""), row("bad/2", image=b"??")]
    assert ingest([*good(7), *bad], max_bad_fraction=0.2) == 2
    error = capsys.readouterr().err
    assert "3 of 10 rows of the source are bad, ingest.max_bad_fraction allows 20.00%" in error
    assert "image_undecodable (2), text_empty (1)" in error
    assert "row bad/0" in error
    assert "quarantine.parquet" in error
    assert set(reasons()) == {"bad/0", "bad/1", "bad/2"}
    assert not Path("samples.parquet").exists()
    assert ingest([*good(7), *bad], max_bad_fraction=0.3) == 0


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "ingest.source: the source has no rows. Check its settings"),
        ([row("bad", image=b"?")], "1 of 1 rows of the source are bad"),
    ],
    ids=["none", "all bad"],
)
def test_source_without_usable_row_is_refused(ingest, capsys, rows, message):
    assert ingest(rows, max_bad_fraction=1.0) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("error", "written"), [(InputError, True), (ZeroDivisionError, False)])
def test_table_is_written_at_mistake_of_user_only(tmp_path, error, written):
    path = tmp_path / "quarantine.parquet"
    with pytest.raises(error), Quarantine(path) as quarantine:
        quarantine.put(BAD)
        raise error("x")
    assert list(tmp_path.iterdir()) == [path] * written
    if written:
        assert read_table(path, QUARANTINE).to_dict("records") == [vars(BAD)]


def test_reasons_are_counted(tmp_path):
    with Quarantine(tmp_path / "quarantine.parquet") as quarantine:
        for reason in ("leak", "row_empty", "leak"):
            quarantine.put(BadRow("a", None, reason, "x"))
    assert quarantine.reasons == {"leak": 2, "row_empty": 1}
