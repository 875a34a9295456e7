"""A stage does not run code that has changed since it was listed."""

import pytest

from components.common.errors import InputError
from components.common.hashing import content_id
from components.stage import code_listing
from components.stage.code_listing import check_listing
from tests.support.stages import STAGES


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """A listing of files that a test may change, and their folder."""
    path = tmp_path / "code.txt"
    lines = []
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(f"# {name}")
        lines.append(f"{content_id((tmp_path / name).read_bytes())}  {name}\n")
    path.write_text("".join(lines))
    monkeypatch.setattr(code_listing, "ROOT", tmp_path)
    return path, tmp_path


def test_unchanged_code_may_run(listed):
    check_listing(listed[0])


@pytest.mark.parametrize("change", ["edited", "deleted"])
def test_stage_does_not_run_code_that_changed(listed, change):
    path, folder = listed
    code = folder / "b.py"
    code.write_text("# edited") if change == "edited" else code.unlink()
    with pytest.raises(InputError, match=r"^b.py has changed .*dvc repro"):
        check_listing(path)


def test_stage_checks_its_code_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}")
    (tmp_path / "code.txt").write_text(f"{'0' * 64}  components/common/files.py\n")
    words = ["--params", "params.yaml", "--code", "code.txt", "--resolved", "settings.yaml"]
    with pytest.raises(SystemExit) as end:
        STAGES["settings"].stage.main(words)
    assert end.value.code == 2
    assert "components/common/files.py has changed" in capsys.readouterr().err
    assert not (tmp_path / "settings.yaml").exists()
