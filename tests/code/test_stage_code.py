"""Which code stages can run: the listings that they depend on."""

import subprocess

import pytest

from components.code.__main__ import STAGE
from components.code.stage_code import code_of
from components.common.source_code import ROOT, import_closure


@pytest.mark.parametrize(("stage", "modalities"), [("align", None), ("features_audio", ["audio"])])
def test_code_of_a_stage_is_its_import_closure(stage, modalities):
    module = f"components.{stage.split('_')[0]}.__main__"
    plugins = {"components.modalities": modalities} if modalities else None
    assert code_of(stage) == import_closure(module, plugins=plugins)


def test_stage_of_a_modality_runs_no_other_modality():
    found = [str(path) for path in code_of("preprocess_text")]
    assert "components/modalities/text/processing.py" in found
    assert not any(path.startswith("components/modalities/image/") for path in found)


def test_sha256sum_agrees(tmp_path):
    STAGE.main(["--listings", str(tmp_path), "--stages", "settings", "preprocess_text"])
    names = ["preprocess_text.txt", "settings.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    command = ["sha256sum", "--check", "--quiet", *(str(tmp_path / name) for name in names)]
    assert subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout == b""


def test_unknown_stage_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        STAGE.main(["--listings", str(tmp_path), "--stages", "align", "aline"])
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "error: --stages: aline: there is no components/aline/__main__.py\n"
    )
